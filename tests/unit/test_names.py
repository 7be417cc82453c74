"""Which names a cell reads and binds."""

from __future__ import annotations

import pytest

from ganga_kernel.bridge.names import analyse, globals_of


@pytest.mark.parametrize(
    ("source", "reads", "binds"),
    [
        ("x = a + 1", "a", "x"),
        ("x = 1\ny = x", "", "x y"),
        ("x = x + 1", "x", "x"),
        ("x += 1", "x", "x"),
        ("if c:\n    x = 1\nx", "c x", "x"),
        ("for i in items:\n    t = i", "items", "i t"),
        ("for i in xs:\n    if i: break\n    k = i\nelse:\n    i", "xs i", "i k"),
        ("for i in xs: pass\ni", "xs i", "i"),
        ("if c:\n    x = 1\nelse:\n    x = 2\nx", "c", "x"),
        ("while c:\n    x = 1\n    x\nx", "c x", "x"),
        ("try:\n    x = 1\nexcept E:\n    x = 2\nx", "E", "x"),
        ("try:\n    x = 1\nexcept E:\n    pass\nx", "E x", "x"),
        ("with o() as f:\n    d = f.read()\nf", "o", "f d"),
        ("async with o() as f:\n    f\nasync for i in z: i", "o z", "f i"),
        ("for a[k] in v: a", "a k v", ""),
        ("def f():\n    return f2", "f2", "f"),
        ("match s:\n    case {'k': P.c, **r} if g: r", "s P g", "r"),
        ("import numpy as np, os.path\nnp.x; os.y", "", "np os"),
        ("from m import a as b\nb", "", "b"),
        ("[i * k for i in xs]", "k xs", ""),
        ("f = lambda v: v + w", "w", "f"),
        ("def f(a, b=d):\n    return a + g(h)", "d g h", "f"),
        ("def f():\n    global n\n    n = m", "m", "f n"),
        ("class C(B):\n    y = z\n    def m(self): return C, q", "B z C q", "C"),
        ("(n := k)", "k", "n"),
        ("print(f'{v!r:>{w}}')", "print v w", ""),
        ("try:\n    t()\nexcept E as e:\n    e", "t E", "e"),
        ("with o() as p:\n    p", "o", "p"),
        ("await z()", "z", ""),
        ("@dec\ndef f(): pass", "dec", "f"),
        ("a, (b, *c) = d\nb", "d", "a b c"),
        ("match s:\n    case [u, v]: u", "s", "u v"),
        ("del x\nx", "x", ""),
        ("x: int = y\nx", "int y", "x"),
        ("x: T", "T", ""),
    ],
)
def test_reads_and_binds(source: str, reads: str, binds: str) -> None:
    found = analyse(source)
    # A name bound on the way counts as read where that errs towards waiting; never the other way round.
    assert set(reads.split()) == set(found.reads) - {"__annotations__", "__name__", "__module__"}
    assert set(binds.split()) == set(found.binds) - {"__annotations__"}


def test_deletions() -> None:
    assert analyse("del a, b[0]").deletes == {"a"}


def test_a_syntax_error_is_the_compiler_s() -> None:
    with pytest.raises(SyntaxError):
        analyse("x =")


def test_globals_of_a_function_are_those_of_inner_functions_too() -> None:
    namespace: dict[str, object] = {}
    exec("def f(a):\n    def g(): return a + deep.attribute\n    return g, shallow", namespace)
    assert globals_of(namespace["f"].__code__) == {"deep", "shallow"}  # type: ignore[attr-defined]
