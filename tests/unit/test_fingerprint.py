"""Equal content has the same fingerprint in every process; other content has another one."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import subprocess
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_payload_plain import INTERPRETERS

from ganga_kernel.bridge import fingerprint as fingerprints
from ganga_kernel.bridge.fingerprint import NoFingerprint, fingerprint

BRIDGE = Path(__file__).parents[2] / "ganga_kernel" / "bridge"

#: A kernel as far as this matters: cells are executed one after the other, their text is in linecache, and
#: they have other numbers and addresses in each process. The bridge is loaded without our package.
KERNEL = f"""
import json, linecache, sys, types
for name, folder in (("_gk", {str(BRIDGE.parent)!r}), ("_gk.bridge", {str(BRIDGE)!r})):
    sys.modules[name] = package = types.ModuleType(name)
    package.__path__ = [folder]
from _gk.bridge.fingerprint import NoFingerprint, fingerprint
notebooks, first = json.load(sys.stdin)
waste = [object() for _ in range(1000 * first)]
digests = {{}}
for title, cells in notebooks.items():
    sys.modules["__main__"] = main = types.ModuleType("__main__")
    for number, cell in enumerate(cells, first):
        name = f"/tmp/ipykernel_{{number}}/{{abs(hash(cell))}}.py"
        linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
        exec(compile(cell, name, "exec"), vars(main))
    names = [name for name in vars(main) if not name.startswith("__")]
    digests[title] = fingerprint(vars(main), names)
print(json.dumps(digests))
"""


def in_kernel(
    notebooks: dict[str, list[str]], seed: int, python: str = sys.executable, folder: Path | None = None
) -> dict[str, str]:
    """The fingerprints of all names of notebooks, in a new process."""
    done = subprocess.run(
        [python, "-c", KERNEL],
        input=json.dumps([notebooks, seed]),
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    digests: dict[str, str] = json.loads(done.stdout)
    return digests


NOTEBOOKS = {
    "values": """
        a = [1, 1.5, True, None, 'x', b'y', 1j, ...]; b = a; c = (a, {'k': a})
        nan, zero = float('nan'), -0.0; big = 2 ** 100; text = '\\ud800' + 'x' * 100_000
        cycle = []; cycle.append(cycle); data = bytearray(b'abc'); r = range(3)
    """,
    "sets": """
        words = {'alpha', 'beta', 'gamma', 'delta', 1, 2.5, None}
        nested = {frozenset({'p', 'q', 'r'}), ('s', 't'), frozenset({('u', frozenset({'v', 'w'}))})}
        def known(x): return x in {'a', 'b', 'c', 'd'}
        class Node:
            def __init__(self, label): self.label, self.peers = label, set()
        one, two, three = map(Node, 'abc'); one.peers |= {one, two, three}; two.peers |= {one, three}
    """,
    "functions": """
        import functools
        scale = 2
        def scaled(x, factor=3, *, to=[1]) -> int:
            'Doc.'
            return x * scale * factor
        def loud(f):
            @functools.wraps(f)
            def inner(*a): return f(*a)
            return inner
        @loud
        def twice(x: int): return scaled(scaled(x))
        @functools.lru_cache(maxsize=None)
        def cached(x): return ping(x)
        def ping(x): return pong(x - 1) if x else 0
        def pong(x): return ping(x)
        def counter():
            n = 0
            def more():
                nonlocal n; n += 1; return n
            return more
        count = counter(); count()
        part = functools.partial(scaled, 1, to=2); fs = [lambda: 1, lambda: 2]
        def make():
            class Inner:
                'In a function.'
                size = 12
                def __init__(self): self.b = self.a = self.c = 1
            return Inner
        Inner = make(); made = Inner()
        async def later(): return [y async for y in other()]
        async def other(): yield scale
    """,
    "classes": """
        import abc, collections, dataclasses, enum, typing
        class Base(abc.ABC):
            __slots__ = ('s', 't')
            @abc.abstractmethod
            def f(self): ...
        class Sub(Base):
            def f(self): return super().f()
            p = property(f); st = staticmethod(len)
        sub = Sub(); sub.s = {'x', 'y', 'z'}; sub.extra = 1; bound = sub.f
        class Colour(enum.Enum):
            RED = 1
            GREEN = 'g'
        red = Colour.RED; by_colour = {Colour.GREEN, red}
        @dataclasses.dataclass(order=True)
        class Point:
            x: int = 1
            y: list = dataclasses.field(default_factory=list)
        point = Point(3)
        class Pair(typing.NamedTuple):
            a: int
            b: float = 2.0
        Other = collections.namedtuple('Other', 'u v'); others = [Pair(1), Other(1, 2)]
        T = typing.TypeVar('T')
        class Box(typing.Generic[T]): ...
        box = Box[int]
    """,
    "the standard library's": """
        import collections, datetime, decimal, math, operator, os.path, pathlib, random, re, types
        when = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc); path = pathlib.Path('/x')
        pattern = re.compile('a+'); draws = random.Random(3); price = decimal.Decimal('1.1')
        calls = [math.sin, len, str.upper, [].append, dict.fromkeys, operator.itemgetter(1)]
        space = types.SimpleNamespace(b=1, a=2); error = ValueError('x'); kinds = [int, type(None), list]
        view = {'a': 1}.keys(); proxy = types.MappingProxyType({'a': 1}); counted = collections.Counter('xyz')
    """,
}
WITH_PACKAGES = {
    "arrays": """
        import numpy as np
        a = np.arange(12.0).reshape(3, 4); views = [a.T, a[::2, ::-1], a[:0]]; b = a
        objects = np.array([1, 'x', None, {'p', 'q', 'r'}], dtype=object); texts = np.array(['x', 'yy'])
        padded = np.empty(3, np.dtype([('a', 'i1'), ('b', 'f8')], align=True)); padded['a'] = padded['b'] = 1
        long = np.longdouble(1) / 3; longs = np.full((2, 2), long)[:, ::-1]; scalars = [a[0, 0], np.int8(2)]
        masked = np.ma.masked_array([1, 2], [0, 1]); sine = np.sin; draws = np.random.default_rng(3)
    """,
    "frames": """
        import pandas as pd
        df = pd.DataFrame({'a': [1, 2], 'b': ['x', None], 'c': pd.Categorical(['u', 'v'])})
        df['t'] = pd.to_datetime(['2020', '2021']).tz_localize('Europe/Paris')
        df['i'] = pd.array([1, None], dtype='Int64')
        by_a = df.set_index(['a', 'b']); column = df['a']; index = df.index
        span = pd.period_range('2020', periods=2, freq='D')
    """,
    "awkward": """
        import awkward as ak
        ragged = ak.Array([[1.5, 2], [], [3]]); cut = ragged[1:]
    """,
}


EVERY = pytest.mark.parametrize(
    "python",
    [sys.executable, *(path for version, path in INTERPRETERS.items() if version != "3.8")],
    ids=["own", *(version for version in INTERPRETERS if version != "3.8")],
)


@EVERY
def test_two_processes_agree(python: str) -> None:
    own = python == sys.executable
    texts = {**NOTEBOOKS, **(WITH_PACKAGES if own else {})}
    notebooks = {title: [textwrap.dedent(text)] for title, text in texts.items()}
    first, second = (in_kernel(notebooks, seed, python) for seed in (1, 2))
    assert first == second and len(set(first.values())) == len(notebooks)


@EVERY
def test_cells_that_stand_elsewhere_and_run_in_another_order_agree(python: str) -> None:
    cells = [
        "scale = 2",
        "def f(x):\n    class Inner:\n        def __init__(self): self.a = scale\n    return Inner",
        "things = [f, {'a', 'b'}]",
        "class C:\n    size = 1\nclass D(C): ...\nobject_ = D()",
    ]
    other = [cells[3], *cells[:3], *("\n" * 300 + cell for cell in cells)]
    digests = in_kernel({"a": cells, "b": other}, 1, python)
    assert digests["a"] == digests["b"]


def notebook(*cells: str) -> dict[str, Any]:
    """A namespace in which a notebook's cells have run."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells:
        exec(textwrap.dedent(cell), namespace)
    return namespace


def of(value: Any) -> str:
    return fingerprint({"value": value}, ["value"])


# What counts.

CELLS = [
    "limit = 3",
    """
    def inner(x):
        return x < limit and x > 0.5
    """,
    "def outer(xs, keep=[1]):\n    return [x for x in xs if inner(x)] + keep",
    """
    class Cut:
        "Selects."
        size = 2
        def __init__(self, name): self.name = name
        def __call__(self, xs): return outer(xs)[:self.size]
    """,
    "cuts = [Cut('a'), Cut('b')]",
]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("limit = 3", "limit = 3.0"),
        ("limit = 3", "limit = [3]"),
        ("0.5", "0.25"),
        ("x > 0.5", "x >= 0.5"),
        ("keep=[1]", "keep=[2]"),
        ("keep=[1]", "also=[1]"),
        ("size = 2", "size = 3"),
        ("Selects.", "Chooses."),
        ("'b'", "'c'"),
        ("[:self.size]", "[self.size:]"),
        ("class Cut:", "class Cut(dict):"),
    ],
)
def test_a_change_anywhere_behind_a_name_changes_it(old: str, new: str) -> None:
    changed = [cell.replace(old, new) for cell in CELLS]
    assert changed != CELLS
    assert fingerprint(notebook(*CELLS), ["cuts"]) != fingerprint(notebook(*changed), ["cuts"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def outer(xs, keep=[1]):\n", "\n\n# Where it stands doesn't count.\ndef outer(xs, keep=[1]):\n"),
        ("x < limit and x > 0.5", "(x < limit  # nor a comment\n            and x > 0.50)"),
        ("limit = 3", "limit = 3; unread = 4"),
    ],
)
def test_what_no_cell_sees_doesn_t_count(old: str, new: str) -> None:
    changed = [cell.replace(old, new) for cell in CELLS]
    assert changed != CELLS
    assert fingerprint(notebook(*CELLS), ["cuts"]) == fingerprint(notebook(*changed), ["cuts"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ("1", b"1"),
        ("x" * 10**6, "x" * (10**6 - 1) + "y"),
        ([1, 2], (1, 2)),
        ([], {}),
        ([[1], [2]], [[1, 2], []]),
        ({1}, frozenset({1})),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (bytearray(b"x"), b"x"),
        (range(3), range(4)),
        (lambda x: x, lambda y: y),
        (lambda: 1, lambda: 2),
        (len, abs),
        (math, os),
        (ValueError("x"), ValueError("y")),
        (types.SimpleNamespace(a=1), types.SimpleNamespace(a=2)),
        (np.zeros(3), np.zeros((3, 1))),
        (np.zeros(3), np.zeros(3, "f4")),
        (np.zeros(2, "u4"), np.zeros(2, "i4")),
        (np.zeros((2, 3)), np.zeros((2, 3), order="F")),
        (np.zeros(0), np.zeros((0, 1))),
        (np.zeros(1)[0], 0.0),
        (np.arange(4)[::2], np.arange(4)[1::2]),
        (np.array([None, 1]), np.array([None, 2])),
        (np.zeros(1, [("a", "f8")]), np.zeros(1, [("b", "f8")])),
        (np.array(["2020"], "M8[s]"), np.array(["2020"], "M8[ms]")),
        (np.dtype("f8"), np.dtype(">f8")),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [2]})),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}, index=[1])),
        (pd.Series([1]), pd.Series([1], name="x")),
    ],
)  # fmt: skip
def test_unlike_values_differ(one: Any, other: Any) -> None:
    assert of(one) != of(other)
    assert of([one, 1]) != of([other, 1])


def test_lambdas_of_one_line_differ() -> None:
    first, second = [lambda x: x + 1, lambda x: x + 2]
    assert of(first) != of(second)


def test_two_names_of_one_object_aren_t_two_equal_objects() -> None:
    alias = notebook("a = [1]; b = a")
    copies = notebook("a = [1]; b = [1]")
    assert fingerprint(alias, ["a", "b"]) != fingerprint(copies, ["a", "b"])
    assert fingerprint(alias, ["a"]) == fingerprint(copies, ["a"])


def test_equal_tuples_and_numbers_are_alike_wherever_they_are_from() -> None:
    same = notebook("a = (1, 'x'); b = a")
    apart = notebook("a = (1, 'x')", "b = tuple([1, 'x'])")
    assert fingerprint(same, ["a", "b"]) == fingerprint(apart, ["a", "b"])


def test_a_name_that_isn_t_bound_doesn_t_count() -> None:
    namespace = notebook("def f(): return missing, len, __name__")
    before = fingerprint(namespace, ["f", "unbound"])
    assert before == fingerprint(namespace, ["f"])
    namespace["missing"] = 1
    assert fingerprint(namespace, ["f"]) != before
    assert fingerprint(namespace, ["f"], skip=["missing"]) == before


def test_the_order_in_which_attributes_were_set_doesn_t_count() -> None:
    thing = "class Thing: ...\nthing = Thing()\n"
    first, second = notebook(thing + "thing.a = thing.b = 1"), notebook(thing + "thing.b = thing.a = 1")
    assert list(vars(first["thing"])) != list(vars(second["thing"]))
    assert fingerprint(first, ["thing"]) == fingerprint(second, ["thing"])


def test_looking_at_things_doesn_t_change_them() -> None:
    import awkward as ak

    namespace = notebook(
        "class A: ...\ndef f(): ...\na = A()",
        "@__import__('functools').lru_cache()\ndef g(x): return x",
    )
    frame = pd.DataFrame({"t": pd.to_datetime(["2020", "2021"]), "b": ["x", None], "c": [1, 2]})
    frame["d"] = pd.array([1, None], dtype="Int64")
    frame["e"] = 1.5
    namespace.update(frame=frame, column=frame["t"], ragged=ak.Array([[1], []]))
    before = {name: fingerprint(namespace, [name]) for name in namespace if name != "__builtins__"}
    namespace["A"].__annotations__, namespace["f"].__annotations__, namespace["g"](1)
    copy.copy(namespace["a"])
    repr(frame), frame.describe(include="all"), frame.t.min(), frame.t.array.isna(), frame.values
    frame.isna(), frame.b.unique(), frame.index.is_unique, frame.d.isna(), repr(namespace["ragged"])
    assert before == {name: fingerprint(namespace, [name]) for name in before}


def test_a_frame_in_other_blocks_is_the_same() -> None:
    apart = pd.DataFrame({"a": [1.0, 2.0]})
    apart["b"] = [3.0, 4.0]
    assert of(apart) == of(pd.DataFrame([[1.0, 3.0], [2.0, 4.0]], columns=["a", "b"]))


@pytest.mark.parametrize(
    "cut", [np.s_[:], np.s_[::-1], np.s_[:, 1:], np.s_[1, ::2], np.s_[0], np.s_[:, :0], np.s_[..., None]]
)
@pytest.mark.parametrize("kind", ["i4", "f8", "c16", "S3", "O", "g"])
def test_a_view_is_like_its_copy(kind: str, cut: Any) -> None:
    view = np.arange(60).reshape(6, 10).astype(kind)[cut]
    assert of(view) == of(np.array(view, order="C" if not view.flags.f_contiguous else "K"))


def test_a_large_array_is_not_copied() -> None:
    """Only a new process knows its own peak."""
    code = """
    import resource, sys, numpy as np
    from ganga_kernel.bridge.fingerprint import fingerprint
    array = np.zeros((2500, 10_000))
    frame = {"whole": array, "cut": array[:, 1:], "turned": array.T}
    fingerprint({"value": np.zeros(10)}, ["value"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fingerprint(frame, list(frame))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert int(done.stdout) < 80_000, done.stderr  # KiB, of 200,000


# Modules.


@pytest.fixture
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Modules of the user's own beside the notebook."""
    (tmp_path / "helpers_a.py").write_text("import json\nfrom helpers_b import UNIT\ndef f(): return UNIT\n")
    (tmp_path / "helpers_b.py").write_text("UNIT = 1\ndef late():\n    from helpers_p import part\n")
    package = tmp_path / "helpers_p"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("from .core import *\n")
    (package / "core.py").write_text("from . import data\nfrom .. import beyond\n")
    (package / "data.py").write_text("x = 1\n")
    (package / "unused.py").write_text("this isn't Python\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("helpers_")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "cell",
    [
        "import helpers_a as thing",
        "from helpers_a import f as thing",
        "def thing():\n    import helpers_a",
        "def thing():\n    from helpers_p import part",
        "import functools, helpers_a\nthing = functools.partial(helpers_a.f)",
    ],
)
@pytest.mark.parametrize(
    ("file", "counts"),
    [("helpers_p/data.py", True), ("helpers_p/core.py", True), ("helpers_p/unused.py", False)],
)
def test_the_files_of_one_s_own_modules_count(own_modules: Path, cell: str, file: str, counts: bool) -> None:
    namespace = notebook(cell)
    before = fingerprint(namespace, ["thing"])
    (own_modules / file).write_text("x = 22\n")
    assert (fingerprint(namespace, ["thing"]) != before) == counts


def test_a_module_counts_the_same_before_it_is_loaded(own_modules: Path) -> None:
    imports = ["helpers_a", "json", "no_such_module", "helpers_p.no_such_module"]
    before = fingerprint({}, [], imports)
    notebook("import helpers_a; helpers_a.UNIT = 5")
    assert fingerprint({}, [], imports) == before
    (own_modules / "helpers_b.py").write_text("UNIT = 2\n")
    assert fingerprint({}, [], imports) != before


def test_a_library_counts_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before, array = of(np), of(np.zeros(1))
    monkeypatch.setattr(np, "__version__", "0.0")
    assert of(np) != before and of(np.zeros(1)) != array


# What can't be compared.


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("import threading\nx = lock = threading.Lock()", "x"),
        ("x = [open('/dev/null')]", "x"),
        ("x = (i for i in [])", "x"),
        ("bad = (i for i in [])\ndef x(): return bad", "bad"),
        ("x = []\nfor _ in range(10_000): x = [x]", "x"),
        ("class X:\n    def __reduce__(self): raise OSError('gone')\nx = X()", "x"),
        ("class X:\n    def __init__(self): self.all = set()\nx = X()\nall_ = [x]\n"
         "for _ in range(12):\n    y = X(); all_[-1].all |= {y, X()}; all_.append(y)", "x"),
        ("import types\nx = types.ModuleType('made')", "x"),
    ],
)  # fmt: skip
def test_what_has_no_fingerprint_says_why(cell: str, name: str) -> None:
    with pytest.raises(NoFingerprint) as raised:
        fingerprint(notebook(cell), ["x"])
    assert raised.value.name == name and raised.value.reason


def test_too_many_objects_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "_MOST", 100)
    of([[] for _ in range(99)])
    with pytest.raises(NoFingerprint, match="more than a million"):
        of([[] for _ in range(100)])


def test_objects_that_all_know_each_other_are_compared_or_refused_at_once() -> None:
    cell = """
    class Node:
        def __init__(self): self.peers = set()
    nodes = [Node() for _ in range(200)]
    for node in nodes: node.peers |= set(nodes)
    """
    with pytest.raises(NoFingerprint, match="sets of objects"):
        fingerprint(notebook(cell), ["nodes"])


# Containers of all kinds.

ATOMS = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf])
    | st.text("ab", max_size=2) | st.binary(max_size=1) | st.just(2**70) | st.just(1j)
)  # fmt: skip
HASHABLE = st.recursive(
    ATOMS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=8
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.sets(HASHABLE, max_size=4)
        | st.dictionaries(HASHABLE, inner, max_size=3)
    ),
    max_leaves=8,
)  # fmt: skip


def spelt(value: Any) -> str:
    """A text that is the same for values that no cell can tell apart."""
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__}({sorted(map(spelt, value))})"
    if isinstance(value, dict):
        return f"dict({[(spelt(key), spelt(item)) for key, item in value.items()]})"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({list(map(spelt, value))})"
    return repr(value)


@given(VALUES)
def test_a_copy_is_the_same(value: Any) -> None:
    assert of(pickle.loads(pickle.dumps(value))) == of(value)


@given(VALUES, VALUES)
def test_values_are_the_same_when_they_are_spelt_the_same(one: Any, other: Any) -> None:
    one, other = (pickle.loads(pickle.dumps(value)) for value in (one, other))
    assert (of(one) == of(other)) == (spelt(one) == spelt(other))


@given(st.lists(HASHABLE, max_size=20, unique=True), st.randoms())
def test_the_order_of_a_set_doesn_t_count(items: list[Any], draws: Any) -> None:
    shuffled = list(items)
    draws.shuffle(shuffled)
    assert of({*items}) == of({*shuffled, *range(10**4, 10**4 + 500)} - {*range(10**4, 10**4 + 500)})


@given(st.lists(st.lists(st.integers(0, 3), max_size=2), min_size=2, max_size=4), st.data())
def test_aliases_count(lists: list[list[int]], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(lists) - 1))
    apart, alias = [*lists, list(lists[at])], [*lists, lists[at]]
    assert apart == alias and of(apart) != of(alias)
