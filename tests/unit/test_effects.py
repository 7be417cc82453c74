"""Which names a cell changes, with the notebook's objects at hand."""

from __future__ import annotations

import collections
import linecache
import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ganga_kernel.bridge import flow, names, world
from ganga_kernel.bridge.effects import effects
from ganga_kernel.bridge.placeholders import UNBOUND, Pending


def notebook(source: str) -> dict[str, Any]:
    """A namespace in which a cell has run, with its source where IPython keeps it."""
    filename = f"<cell {hash(source)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, filename, "exec"), namespace)
    return namespace


OBJECTS: dict[str, Any] = {
    "lst": [1, "a"], "nested": [[1], [2]], "dct": {"k": {"x": 1}}, "st": {1}, "text": "a b", "n": 1,
    "array": np.arange(4), "frame": pd.DataFrame({"a": [1]}), "rng": np.random.default_rng(1), "np": np,
    "model": types.SimpleNamespace(weights=[0]), "made": type("Model", (), {}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "mutated"),
    [
        ("lst.append(1)", "lst"), ("lst.count(1)", ""), ("lst[0].upper()", ""),
        ("nested[0].append(3)", "nested"),
        ("nested[0].copy()", ""), ("dct['k'].update(y=1)", "dct"), ("dct['k'].get('x')", ""),
        ("st.add(2)", "st"),
        ("st.union([3])", ""), ("text.split()", ""), ("n.bit_length()", ""), ("array.mean()", ""),
        ("array[1:].sum()", ""), ("array.sort()", "array"), ("array.T.fill(0)", "array"),
        ("frame.groupby('a').sum()", ""), ("frame.a.str.upper()", ""),
        ("frame.dropna(inplace=True)", "frame"),
        ("frame.insert(0, 'b', 1)", "frame"), ("rng.normal()", "rng"), ("np.sort(array)", ""), ("made()", ""),
        ("model.fit(array)", "model"), ("model.weights.append(1)", "model"), ("model.weights.count(0)", ""),
        ("[row.append(1) for row in nested]", "nested"),
        ("[row.count(1) for row in nested]", ""), ("x = lst.pop()", "lst"), ("f'{lst.pop()}'", "lst"),
        ("lst += [1]", "lst"), ("lst[0] = 1", "lst"), ("del dct['k']", "dct"), ("model.weights = 1", "model"),
        ("f = lambda: lst.append(1); f()", "lst"), ("view = array[1:]\nview *= 2", "array"),
        ("y = array * 2\ny[0] = 1", ""), ("new = [lst]; new.append(1)", ""),
        ("new = [lst]; new[0][0] = 1", "lst"), ("list.append(lst, 1)", "lst"),
        ("f = lst.append; f(1)", "lst"),
        ("def f(a, b): b.append(1)\nf(*nested, lst)", "lst nested"),
        ("for row in nested: row += [1]", "nested"), ("out = []\nfor x in nested: out.append(x)", ""),
        ("out = []\nfor x in nested: out.append(x)\nout[0].clear()", "nested"),
        ("def f(x): x.append(1)\nf(lst)", "lst"), ("def f(x): return len(x)\nf(lst)", ""),
        ("def f(x): return x\nf(lst).append(1)", "lst"), ("(other := lst).append(2)", "lst"),
        ("import random; random.shuffle(lst)", "lst"), ("sorted(nested, key=lambda x: x.pop())", "nested"),
        ("sorted(nested, key=lambda x: x[0])", ""), ("a, *b = nested\nb[0].append(1)", "nested"),
        (
            "class C:\n    def __init__(self, v): self.v = v\n"
            "    def put(self): self.v.append(1)\nC(lst).put()",
            "lst",
        ),
        ("def outer():\n    def inner(): lst.append(1)\n    return inner\nouter()()", "lst"),
        ("{k: v.pop() for k, v in dct.items()}", "dct"), ("model.bias = lst", "model"),
        ("with open('f') as f: lst.append(f.read())", "lst"), ("np.add(array, 1, out=array)", "array"),
        ("try:\n    lst.append(1)\nexcept ValueError as e: nested.append(e)", "lst nested"),
        ("print(lst, nested); len(dct)", ""), ("total = sum(x[0] for x in nested)", ""),
        ("s = frame['a']\ns.iloc[0] = 1", "frame"), ("del nested[0][0]", "nested"), ("n += 1", ""),
        ("unknown.append(1)", ""),
        ("get_ipython().run_line_magic('time', '-n 3 lst.append(n)')", "lst"),
        ("get_ipython().run_cell_magic('capture', 'out', 'lst.append(n)\\n')", "lst"),
    ],
)  # fmt: skip
def test_what_a_cell_mutates(source: str, mutated: str) -> None:
    found = effects(names.analyse(source), dict(OBJECTS))
    assert found.mutates == frozenset(mutated.split())


def test_what_the_notebook_s_functions_change_counts() -> None:
    space = notebook(
        "results, count, log = [], 0, []\n"
        "def note(x):\n    local = []\n    local.append(x)\n    results.append(x)\n"
        "def bump():\n    global count\n    count += 1\n    note(count)\n"
        "class Log:\n    def write(self, x): log.append(x)\n"
    )
    found = effects(names.analyse("bump()"), space)
    assert (found.mutates, found.binds) == ({"results"}, {"count"})
    assert effects(names.analyse("Log().write(1)"), space).mutates == {"log"}
    assert effects(names.analyse("x = 1"), space).mutates == frozenset()


def test_of_a_pending_object_only_the_method_s_name_is_known() -> None:
    space = {name: Pending(name, "t", 1, UNBOUND, frozenset(), True) for name in ("data", "model")}
    found = effects(names.analyse("y = data.mean(); data.get(1); model.fit(data)"), space)
    assert found.mutates == {"model"}


def test_what_the_cell_binds_first_is_its_own() -> None:
    space = {name: Pending(name, "t", 1, UNBOUND, frozenset(), True) for name in ("time", "rows")}
    found = effects(names.analyse("import time\nrows = []\nrows.append(time.sleep(1))\nrows[0] = 2"), space)
    assert found.mutates == frozenset()


@pytest.mark.parametrize(
    ("source", "reads", "binds"),
    [
        ("get_ipython().run_line_magic('time', 'y = f(x)')", "get_ipython f x", "y"),
        ("files = get_ipython().getoutput('ls {folder} $name')", "folder name", "files"),
        ("get_ipython().system('echo {a + b}')", "a b", ""),
        ("get_ipython().run_cell_magic('capture', 'out', 'z = x\\n')", "x", "z"),
        ("get_ipython().run_line_magic('matplotlib', 'inline')", "", ""),
    ],
)  # fmt: skip
def test_names_in_ipython_s_own_syntax(source: str, reads: str, binds: str) -> None:
    found = names.analyse(source)
    assert found.reads - {"get_ipython"} == frozenset(reads.split()) - {"get_ipython"}
    assert found.binds == frozenset(binds.split())


@pytest.mark.parametrize(
    ("source", "name", "links"),
    [
        ("x = lst", "x", "lst"), ("x = [lst, dct]", "x", "lst dct"), ("x = len(lst)", "x", ""),
        ("x = list(nested)", "x", "nested"), ("x = array.mean()", "x", ""), ("x = y = []", "x", "y"),
        ("x = []; y = []", "x", ""), ("x = []; y = {'x': x}", "x", "y"), ("model.own = lst", "model", "lst"),
        ("def f(v): return [v]\nx = f(lst); y = f(1)", "x", "lst y"), ("x = np.sqrt(array)", "x", ""),
        ("x = array * 2", "x", ""), ("x = lst + nested", "x", "lst nested"), ("x = n", "x", ""),
        ("def f(v=lst): return v", "f", "lst"), ("import json as x", "x", ""),
    ],
)  # fmt: skip
def test_which_names_may_share_objects(source: str, name: str, links: str) -> None:
    found = effects(names.analyse(source), dict(OBJECTS))
    assert found.links.get(name, frozenset()) - {"f"} == frozenset(links.split())


def test_the_cell_that_brings_a_pending_name_tells_what_it_is() -> None:
    cell = (
        "import numpy as lib\ndef look(v): return len(v)\ndef grow(v): v.append(1)\n"
        "class Box:\n    def size(self): return 1\n    def mean(self): self.seen = 1\nbox = Box()"
    )
    space: dict[str, Any] = {
        name: Pending(name, "t", 1, UNBOUND, frozenset(), True)
        for name in ("lib", "look", "grow", "Box", "box", "what")
    }
    space["lst"] = [1]

    def mutates(source: str) -> set[str]:
        return set(effects(names.analyse(source), space, {"t": cell}.__getitem__).mutates)

    assert mutates("look(lst); lib.sort(lst); Box()") == set()
    assert mutates("grow(lst)") == {"lst"}
    assert mutates("box.mean()") == {"box"}
    assert mutates("what(lst)") == {"what", "lst"}


def test_a_closure_is_changed_by_its_call() -> None:
    space = notebook(
        "def counter():\n    n = 0\n    def step():\n        nonlocal n\n        n += 1\n        return n\n"
        "    return step\nstep = counter()\ndef collect(x, seen=[]): seen.append(x)\n"
    )
    assert effects(names.analyse("step()"), space).mutates == {"step"}
    assert effects(names.analyse("steps = [step]; steps[0]()"), space).mutates == {"step"}
    assert effects(names.analyse("collect(1)"), space).mutates == {"collect"}


def test_what_a_function_imports_or_matches_is_its_own() -> None:
    space = notebook(
        "def act(x):\n    import os.path\n    from json import dumps as text\n"
        "    match x:\n        case [1, *rest]: pass\n        case {'a': 1, **more}: pass\n"
        "        case whole: pass\n"
        "    return text(x)\n"
    )
    assert effects(names.analyse("y = act([1])"), space).binds == {"y"}


def test_functions_of_modules_don_t_see_the_notebook_s_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_of_effects.py").write_text(
        "rows = []\ndef fill(x, n=1):\n    global last\n    last = n\n    rows.append(n)\n    x.append(n)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    space = notebook(
        "from own_of_effects import fill\nfrom IPython.display import clear_output, display\n"
        "rows = []\nlst = []"
    )
    for source, mutated in [("fill(lst)", {"lst"}), ("clear_output()", set()), ("display(lst)", set())]:
        found = effects(names.analyse(source), space)
        assert (found.mutates, found.binds) == (mutated, set())


@pytest.mark.parametrize(("module", "limit"), [(flow, "_ROUNDS"), (world, "_WORK")])
def test_what_would_take_too_long_is_taken_to_share_and_change_all(
    module: Any, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, limit, 0)
    space = notebook("log = []\nn = [0]\ndef note(x):\n    global last\n    last = x\n    log.append(x)")
    seen = effects(names.analyse("y = note(n)"), space)
    assert {"n", "log"} <= seen.mutates  # also what is only reached through a function
    assert "last" in seen.binds
    assert {"n", "log", "last"} <= seen.links["y"]


def test_an_expression_may_be_nested_deeply() -> None:
    found = names.analyse("x = " + "+".join(["lst"] * 900))
    assert found.reads == {"lst"}
    assert "lst" in effects(found, dict(OBJECTS)).links["x"]


SPECIAL = [
    ("__bool__", "if a: pass"), ("__bool__", "not a"), ("__bool__", "a or 1"), ("__bool__", "assert a"),
    ("__bool__", "x = 1 if a else 2"), ("__bool__", "[i for i in (1,) if a]"), ("__len__", "len(a)"),
    ("__eq__", "a == 1"), ("__lt__", "a < 1"), ("__lt__", "sorted([a, a])"), ("__contains__", "1 in a"),
    ("__neg__", "-a"), ("__radd__", "1 + a"), ("__matmul__", "a @ 1"), ("__xor__", "a ^ 1"),
    ("__add__", "a += 1"), ("__str__", "print(a)"), ("__str__", "f'{a}'"), ("__str__", "'%s' % a"),
    ("__format__", "'{}'.format(a)"), ("__int__", "int(a)"), ("__iter__", "[*a]"), ("__iter__", "x, y = a"),
    ("__next__", "next(a)"), ("__getattr__", "a.some"), ("__missing__", "a[1]"),
    ("__call__", "list(map(a, [1]))"), ("__new__", "C()"), ("__post_init__", "C()"),
    ("__init_subclass__", "class D(C): pass"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "source"), SPECIAL)
def test_special_methods_count_that_syntax_and_functions_call(method: str, source: str) -> None:
    space = notebook(f"log = []\nclass C:\n    def {method}(self, *_): log.append(1)")
    space["a"] = object.__new__(space["C"])
    assert "log" in effects(names.analyse(source), space).mutates


@pytest.mark.parametrize(
    ("source", "mutated"),
    [
        ("nested[:][0].append(1)", "nested"), ("x = []\nx[:] = [lst]\nx[0].append(1)", "lst"),
        ("list.__setitem__(lst, 0, 1)", "lst"), ("missing['a']", "missing"), ("x = dct['a']", ""),
        ("class A: v = lst\nA().v.append(1)", "lst"),
        ("class A:\n    @staticmethod\n    def act(x): x.append(1)\nA.act(lst)", "lst"),
        ("class A:\n    def act(self, x): x.append(1)\nA.act(1, lst)", "lst"),
        ("class A:\n    put = lambda self: lst.append(1)\nA().put()", "lst"),
        ("def d(c):\n    c.v = lst\n    return c\n@d\nclass A: pass\nA.v.append(1)", "lst"),
        ("class A:\n    @property\n    def v(self): pass\n    @v.setter\n    def v(self, x): lst.append(x)\n"
         "A().v = 1", "lst"),
        ("class A:\n    def __setitem__(self, at, x): x.append(1)\nA()[0] = lst", "lst"),
        ("class A:\n    def __setattr__(self, at, x): x.append(1)\nA().v = lst", "lst"),
        ("class A:\n    def __delattr__(self, at): lst.append(1)\ndel A().v", "lst"),
        ("class A:\n    def __get__(self, *_): lst.append(1)\nclass B: a = A()\nB().a", "lst"),
        ("class A:\n    def __iter__(self): return iter(nested)\nfor x in A(): x.append(1)", "nested"),
        ("try:\n    raise ValueError(lst)\nexcept ValueError as e: e.args[0].append(1)", "lst"),
        ("x = np.array([lst, None], dtype=object)\nx[0].append(1)", "lst"),
        ("from dataclasses import dataclass\n@dataclass\nclass A: v: list\nx = A(lst)", ""),
    ],
)  # fmt: skip
def test_what_a_cell_mutates_in_ways_that_are_seldom_used(source: str, mutated: str) -> None:
    space = {**OBJECTS, "missing": collections.defaultdict(list)}
    assert effects(names.analyse(source), space).mutates == set(mutated.split())
