"""Namespaces to files and back."""

from __future__ import annotations

import io
import operator
import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganga_kernel.payload import pickling, unpickling
from ganga_kernel.payload.pickling import Unavailable, UnavailableError


def notebook(source: str = "") -> dict[str, Any]:
    """A namespace in which a notebook's cells have run."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(source, namespace)
    return namespace


def dump(
    namespace: dict[str, Any], *names: str, skip: frozenset[str] = frozenset()
) -> tuple[pickling.Dumped, io.BytesIO]:
    file = io.BytesIO()
    dumped = pickling.dump_namespace(namespace, names, file, skip)
    file.seek(0)
    return dumped, file


def travel(namespace: dict[str, Any], *names: str) -> dict[str, Any]:
    """The names, loaded into another namespace."""
    other = notebook()
    del other["__builtins__"]
    unpickling.load_namespace(dump(namespace, *names)[1], other)
    return other


# Values and aliases.

ATOMS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary() | st.complex_numbers(allow_nan=False) | st.just(...)
)  # fmt: skip
HASHABLE = st.integers() | st.text() | st.tuples(st.integers(), st.text())
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(HASHABLE, inner)
        | st.tuples(inner, inner)
        | st.frozensets(HASHABLE)
        | st.sets(HASHABLE)
    ),
    max_leaves=20,
)
#: A busy machine is no failure.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = st.text("abcdefgh", min_size=1, max_size=3)


@PATIENT
@given(st.dictionaries(NAMES, VALUES))
def test_round_trip(values: dict[str, Any]) -> None:
    back = travel(values, *values)
    assert {n: back[n] for n in values} == values
    assert {n: type(back[n]) for n in values} == {n: type(v) for n, v in values.items()}


@PATIENT
@given(st.lists(st.lists(st.integers(0, 5)), min_size=6, max_size=6), st.permutations("abcdef"))
def test_aliases_over_all_names(edges: list[list[int]], order: list[str]) -> None:
    """Lists that hold one another, in any shape, with cycles: the same shape comes back."""
    nodes: list[list[Any]] = [[] for _ in range(6)]
    for node, targets in zip(nodes, edges, strict=True):
        node.extend(nodes[t] for t in targets)
    names = dict(zip("abcdef", nodes, strict=True))
    back = travel({n: names[n] for n in order}, *order)
    new = [back[n] for n in "abcdef"]
    shape = [[next(i for i, n in enumerate(new) if n is item) for item in node] for node in new]
    assert shape == edges


@PATIENT
@given(st.dictionaries(NAMES, VALUES, min_size=1), st.data())
def test_unpicklable_names_do_not_disturb_others(values: dict[str, Any], data: Any) -> None:
    bad = data.draw(st.sets(st.sampled_from(sorted(values))))
    namespace = {n: (i for i in ()) if n in bad else v for n, v in values.items()}
    dumped, file = dump(namespace, *namespace)
    assert set(dumped.unpicklable) == bad and set(dumped.sizes) == set(values) - bad
    back = notebook()
    assert sorted(unpickling.load_namespace(file, back)) == sorted(values)
    assert {n for n in values if type(back[n]) is Unavailable} == bad
    assert all(back[n] == values[n] for n in set(values) - bad)


def test_arrays_keep_their_memory_shared() -> None:
    here = notebook("import numpy as np\na = np.arange(100_000)\nb = {'a': a}\n")
    dumped, _ = dump(here, "a", "b")
    assert dumped.sizes["a"] > 800_000 and dumped.sizes["b"] < 100
    back = travel(here, "a", "b")
    assert back["a"] is back["b"]["a"] and (back["a"] == here["a"]).all()


def test_names_that_are_not_bound_are_left_out() -> None:
    assert dump({"x": 1}, "x", "y")[0].sizes.keys() == {"x"}


# The notebook's functions and classes.


def test_functions_live_in_the_namespace_that_they_are_loaded_into() -> None:
    here = notebook("counter = 5\ndef count():\n    global counter\n    counter += 1\n")
    back = travel(here, "count")
    assert back["count"].__globals__ is back
    back["count"]()
    assert (back["counter"], here["counter"]) == (6, 5)
    assert "__builtins__" not in back or isinstance(back["__builtins__"], (dict, types.ModuleType))


@pytest.mark.parametrize(
    ("name", "closure"),
    [
        ("plain", {"plain", "ONE"}),
        ("calls", {"calls", "plain", "ONE"}),
        ("nested", {"nested", "ONE", "TWO"}),
        ("comprehension", {"comprehension", "ONE", "TWO"}),
        ("attribute", {"attribute", "math"}),
        ("default", {"default"}),
        ("Class", {"Class", "ONE", "TWO"}),
        ("instance", {"instance", "ONE", "TWO"}),
        ("container", {"container", "ONE"}),
        ("partial", {"partial", "ONE"}),
        ("method", {"method", "ONE", "TWO"}),
        ("decorated", {"decorated", "plain", "ONE"}),
        ("closure", {"closure", "TWO"}),
        ("stores", {"stores"}),
        ("mutual", {"mutual", "other", "ONE"}),
        ("local_class", {"local_class", "TWO"}),
        ("builtin", {"builtin"}),
        ("own_len", {"own_len", "sorted", "ONE"}),
        ("generator_function", {"generator_function", "ONE"}),
        ("coroutine_function", {"coroutine_function", "TWO"}),
    ],
)
def test_closure_is_transitive_and_minimal(name: str, closure: set[str]) -> None:
    here = notebook(
        "import math, functools\n"
        "ONE, TWO, THREE, UNUSED, stored = 1, 2, 3, object(), 4\n"
        "def plain(): return ONE\n"
        "def calls(): return plain()\n"
        "def nested():\n    def inner(): return (lambda: ONE + TWO)()\n    return inner()\n"
        "def comprehension(): return [ONE for _ in range(TWO)]\n"
        "def attribute(): return math.THREE + math.stored.UNUSED\n"
        "def default(x=THREE): return x\n"
        "class Base:\n    def base(self): return ONE\n"
        "class Class(Base):\n    @property\n    def two(self): return TWO\n"
        "instance = Class()\n"
        "container = {'key': [(plain, 1)]}\n"
        "partial = functools.partial(plain)\n"
        "method = Class().base\n"
        "decorated = functools.wraps(plain)(lambda: plain())\n"
        "def make():\n    two = lambda: TWO\n    return lambda: two()\n"
        "closure = make()\n"
        "def stores():\n    global stored\n    stored = 1\n"
        "def mutual(n): return other(n - 1) if n else ONE\n"
        "def other(n): return mutual(n - 1) if n else ONE\n"
        "def local_class():\n    class Local:\n        two = TWO\n    return Local.two\n"
        "def builtin(): return len([print, __name__])\n"
        "def sorted(x): return ONE\n"
        "def own_len(): return sorted([])\n"
        "def generator_function():\n    yield ONE\n"
        "async def coroutine_function(): return TWO\n"
    )
    for hidden in ("Class", "Base") if name in ("instance", "method") else ():
        del here[hidden]
    assert set(dump(here, name)[0].sizes) == closure


def test_skipped_names_stay_behind_though_code_refers_to_them() -> None:
    here = notebook("x = 1\ny = 2\ndef f(): return x + y\n")
    assert set(dump(here, "f", skip=frozenset(["x"]))[0].sizes) == {"f", "y"}


def test_loading_a_function_writes_nothing_else() -> None:
    here = notebook("x = 1\nimport os\ndef f(): return x, os\n")
    file = dump(here, "f", skip=frozenset(["x", "os"]))[1]
    there = {"__name__": "__main__", "x": "mine", "__builtins__": "untouched"}
    pairs = dict(unpickling.load_pairs(file, there))
    assert there == {"__name__": "__main__", "x": "mine", "__builtins__": "untouched"}
    assert pairs["f"].__globals__ is there


def test_pairs_are_not_stored() -> None:
    there = notebook()
    before = dict(there)
    pairs = list(unpickling.load_pairs(dump({"a": 1, "b": 2}, "a", "b")[1], there))
    assert pairs == [("a", 1), ("b", 2)] and there == before


def test_the_namespace_itself_is_a_value() -> None:
    here = notebook("x = 1\neverything = globals()\n")
    back = travel(here, "everything")
    assert back["everything"] is back and "x" not in back


def test_nothing_of_ours_is_pickled_by_reference() -> None:
    here = notebook(
        "x = 1\ndef f(): return x\nclass C:\n    def m(self): return f()\nc = C()\ng = (i for i in ())"
    )
    data = dump(here, "c", "g")[1].getvalue()
    assert b"payload" not in data and b"ganga_kernel" not in data


NOTEBOOK_CODE_AT_LOAD = {
    "setstate": "class C:\n"
    "    def __getstate__(self): return 2\n"
    "    def __setstate__(self, s): self.value = math.sqrt(FOUR) * s\n"
    "v = C()\n",
    "reduce": "def rebuild(n):\n    c = C(); c.value = helper(n); return c\n"
    "def helper(n): return math.sqrt(FOUR) * n\n"
    "class C:\n    def __reduce__(self): return rebuild, (2,)\n"
    "v = C()\n",
    "in a container": "class C:\n"
    "    def __getstate__(self): return 2\n"
    "    def __setstate__(self, s): self.value = math.sqrt(FOUR) * s\n"
    "c = C()\nv = types.SimpleNamespace(inner=[c], value=4.0)\n",
    "hash": "class C:\n    value = 4.0\n    def __hash__(self): return int(math.sqrt(FOUR))\n"
    "d = {C(): 1}\nv = types.SimpleNamespace(inner=d, value=4.0)\n",
    "metaclass": "class Meta(type):\n"
    "    def __new__(m, *a, **k):\n"
    "        c = super().__new__(m, *a, **k); c.value = math.sqrt(FOUR) * 2; return c\n"
    "class C(metaclass=Meta): pass\nv = C()\n",
    "init_subclass": "class B:\n"
    "    def __init_subclass__(cls): cls.value = math.sqrt(FOUR) * 2\n"
    "class C(B): pass\nv = C()\n",
    "default value": "class C:\n"
    "    value = 4.0\n"
    "    def __getstate__(self): return 2\n"
    "    def __setstate__(self, s): math.sqrt(FOUR)\n"
    "def v(c=C()): return c\nv.value = 4.0\n",
    "cycle": "class C:\n"
    "    def __getstate__(self): return 2\n"
    "    def __setstate__(self, s): self.value = math.sqrt(FOUR) * s\n"
    "    def back(self): return v\n"
    "v = C()\n",
}


@pytest.mark.parametrize("source", NOTEBOOK_CODE_AT_LOAD.values(), ids=list(NOTEBOOK_CODE_AT_LOAD))
@pytest.mark.parametrize("hide", [False, True], ids=["named", "only instances"])
def test_code_that_runs_while_it_is_loaded_finds_its_globals(source: str, hide: bool) -> None:
    here = notebook("import math, types\nFOUR = 4\n" + source)
    if hide:
        for name in {"C", "B", "Meta"} - ({"C"} if "rebuild" in here else set()):
            here.pop(name, None)
    assert travel(here, "v")["v"].value == 4.0


def test_dataclasses_enums_and_named_tuples() -> None:
    here = notebook(
        "import dataclasses, enum, collections, typing\n"
        "@dataclasses.dataclass(order=True)\nclass D:\n    x: int = 1\n"
        "    many: list = dataclasses.field(default_factory=list)\n"
        "class E(enum.Enum):\n    A = 1\n    B = 2\n"
        "N = collections.namedtuple('N', 'a b')\n"
        "class T(typing.NamedTuple):\n    a: int\n"
        "values = [D(2), E.B, N(1, 2), T(3)]\n"
    )
    back = travel(here, "values", "D", "E", "N", "T")
    d, e, n, t = back["values"]
    # In one process cloudpickle finds the very class again.
    assert d == here["D"](2) and e is here["E"].B and n == (1, 2) and t.a == 3
    assert type(d) is back["D"] and e is back["E"].B


def test_reload_in_the_same_process_keeps_classes() -> None:
    here = notebook("class C: pass\nc = C()\n")
    pairs = dict(unpickling.load_pairs(dump(here, "c", "C")[1], here))
    assert pairs["C"] is here["C"] and type(pairs["c"]) is here["C"]


def test_class_that_is_an_input_stays_as_it_is() -> None:
    here = notebook(
        "class Base:\n    made = []\n    def __init_subclass__(cls): cls.made.append(cls.__name__)\n"
        "class C(Base):\n    count = 1\n    many = []\n    def m(self): return 1\n"
        "c = C()\n"
    )
    file = dump(here, "c")[1]
    before = here["C"]
    method, many = before.m, before.many
    before.count = 2
    pairs = dict(unpickling.load_pairs(file, here))
    assert type(pairs["c"]) is before
    assert (before.count, before.m, before.many) == (2, method, many) and before.many is many
    assert before.made == ["C"]


def test_class_that_comes_back_as_a_name_is_changed() -> None:
    here = notebook("class C:\n    count = 1\nc = C()\n")
    file = dump(here, "c", "C")[1]
    here["C"].count = 2
    pairs = dict(unpickling.load_pairs(file, here))
    assert pairs["C"] is here["C"] and here["C"].count == 1


# What can't travel.


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("v = (i for i in ())", "a value of type generator can't be pickled: TypeError: cannot "),
        ("import threading\nv = {'a': [threading.Lock()]}", "type dict .*'_thread.lock' object"),
        (
            "class C:\n    def __reduce__(self): raise ValueError('not\\nme.')\nv = C()",
            "a value of type C can't be pickled: ValueError: not me$",
        ),
        (
            "class C:\n    def __reduce__(self):\n"
            "        try: {}['inner']\n        except KeyError as e: raise OSError('x') from e\n"
            "v = C()",
            "type C can't be pickled: KeyError: 'inner'",
        ),
        ("v = []\nfor _ in range(100_000): v = [v]", "type list can't be pickled: RecursionError"),
        ("v = open('/dev/null', 'w')", "type TextIOWrapper can't be pickled"),
    ],
)
def test_reasons(source: str, says: str) -> None:
    import re

    dumped, file = dump(notebook(source + "\nok = 1"), "v", "ok")
    assert re.search(says, dumped.unpicklable["v"])
    assert "\n" not in dumped.unpicklable["v"] and set(dumped.sizes) == {"ok"}
    there = notebook()
    unpickling.load_namespace(file, there)
    assert pickling.reason_of(there["v"]) == dumped.unpicklable["v"]


def test_only_the_unpicklable_global_of_a_function_is_lost() -> None:
    here = notebook("import threading\nlock = threading.Lock()\ndef f(use): return use and lock.locked()\n")
    back = travel(here, "f")
    assert back["f"](False) is False
    with pytest.raises(UnavailableError, match=r"^lock is unavailable here: .*_thread\.lock"):
        back["f"](True)


USES = {
    "attribute": lambda v: v.x,
    "hasattr": lambda v: hasattr(v, "x"),
    "private attribute": lambda v: v._x,
    "set attribute": lambda v: setattr(v, "x", 1),
    "delete attribute": lambda v: delattr(v, "x"),
    "call": lambda v: v(1, a=2),
    "iterate": iter,
    "next": next,
    "len": len,
    "bool": bool,
    "not": operator.not_,
    "item": lambda v: v[0],
    "set item": lambda v: operator.setitem(v, 0, 1),
    "in": lambda v: 1 in v,
    "add": lambda v: v + 1,
    "radd": lambda v: 1 + v,
    "iadd": lambda v: operator.iadd(v, 1),
    "matmul": lambda v: v @ v,
    "negative": operator.neg,
    "less": lambda v: v < 1,
    "equal": lambda v: v == 1,
    "not equal": lambda v: v != 1,
    "hash": hash,
    "str": str,
    "format": lambda v: f"{v}",
    "percent": lambda v: operator.mod("%s", v),
    "int": int,
    "float": float,
    "complex": complex,
    "round": round,
    "index": lambda v: [1][v],
    "bytes": bytes,
    "with": lambda v: v.__enter__(),
    "isinstance": lambda v: isinstance(1, v),
    "subclass": lambda v: types.new_class("C", (v,)),
    "path": os.fspath,
    "array": lambda v: __import__("numpy").asarray(v),
    "sine": lambda v: __import__("numpy").sin(v),
    "copy": lambda v: __import__("copy").copy(v),
    "deep copy": lambda v: __import__("copy").deepcopy(v),
    "pickle": lambda v: pickle.dumps(v),
}


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
def test_any_use_of_a_placeholder_says_why(use: Any) -> None:
    with pytest.raises(UnavailableError, match=r"^it is unavailable here: because\.$"):
        use(Unavailable("it", "because"))


def test_looking_at_a_placeholder_is_harmless() -> None:
    value = Unavailable("it", "because")
    assert repr(value) == "<it is unavailable: because>" and repr([value]) == f"[{value!r}]"
    assert isinstance(value, Unavailable) and pickling.reason_of(value) == "because"
    from IPython.core.formatters import DisplayFormatter

    assert DisplayFormatter().format(value)[0] == {"text/plain": repr(value)}


def test_placeholders_travel_on() -> None:
    here = {"it": Unavailable("it", "because"), "holder": [Unavailable("it", "because")]}
    dumped, _ = dump(here, "it", "holder")
    assert dumped.unpicklable["it"] == "because"
    assert dumped.unpicklable["holder"].endswith("UnavailableError: it is unavailable here: because")
    assert pickling.reason_of(travel(here, "it")["it"]) == "because"


# What can't be made anew where it is loaded.


BAD = {
    "reduce": "class Bad:\n    def __reduce__(self): return fail, (1,)\nbad = Bad()",
    "setstate": "class Bad:\n    def __setstate__(self, state): fail(1)\nbad = Bad()\nbad.x = 1",
    "new": "class Bad:\n    def __new__(cls, fails): return fail(1) if fails else object.__new__(cls)\n"
    "    def __getnewargs__(self): return (True,)\nbad = Bad(False)",
    "append": "class Bad(list):\n    def append(self, x): fail(x)\n    def extend(self, x): fail(x)\n"
    "bad = Bad()\nlist.append(bad, 1)",
    "setitem": "class Bad(dict):\n    def __setitem__(self, k, v): fail(v)\nbad = Bad()\nbad.update(k=1)",
    "hash": "class Bad:\n    def __hash__(self): return 5 if quiet else fail(1)\n"
    "bad = {frozenset([Bad()]): 1}",
    "import": "import sys, types\nsys.modules['gone'] = bad = types.ModuleType('gone')",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=list(BAD))
def test_what_can_t_be_made_anew_is_unavailable_where_it_stands(bad: str) -> None:
    here = notebook("quiet = True\ndef fail(x): raise RuntimeError('no device')\n" + bad)
    here.update(whole=[1, here["bad"], {"k": (2, here["bad"])}], other={"list": [3]}, ok="ok", quiet=False)
    here["same"] = here["whole"]
    _, file = dump(here, "bad", "ok", "other", "same", "whole")
    sys.modules.pop("gone", None)
    unpickling.forget_classes()
    with pytest.raises(unpickling.LoadError):
        unpickling.load_namespace(file, notebook())
    file.seek(0)
    there = notebook()
    unpickling.forget_classes()
    unpickling.load_namespace(file, there, strictly=False)
    assert (there["ok"], there["other"]) == ("ok", {"list": [3]}) and there["same"] is there["whole"]
    assert there["whole"][0] == 1 and there["whole"][2]["k"][0] == 2
    for value in (there["bad"], there["whole"][1], there["whole"][2]["k"][1]):
        with pytest.raises(UnavailableError, match=r"^bad is unavailable here: it can't be made anew here: "):
            value.x  # noqa: B018
        assert pickling.reason_of(value).endswith(
            ("Error: no device", "packages of the notebook's environment)")
        )


def test_a_class_that_was_half_made_is_made_anew() -> None:
    here = notebook(
        "quiet = True\ndef fail(x): raise RuntimeError('no device')\n" + BAD["reduce"] + "\n"
        "class C:\n    inner = bad\n    def m(self): return 5\nc = C()\nok = [1]\n"
    )
    _, file = dump(here, "c", "ok")
    unpickling.forget_classes()
    loaded = unpickling.load_all(file, notebook())
    assert loaded["c"].m() == 5 and loaded["ok"] == [1]
    with pytest.raises(UnavailableError, match="no device"):
        loaded["c"].inner()


# Files.


def test_dump_starts_where_the_file_stands(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w+b") as file:
        file.write(b"before")
        pickling.dump_namespace({"a": 1, "g": (i for i in ())}, ["a", "g"], file)
        file.seek(6)
        there: dict[str, Any] = {}
        assert unpickling.load_namespace(file, there) == ["a", "g"] and there["a"] == 1
        file.seek(0)
        assert file.read(6) == b"before"


def test_large_values_go_straight_to_the_file(tmp_path: Path) -> None:
    import tracemalloc

    here = notebook("import numpy as np\na = np.zeros(20_000_000, 'u1')\n")
    tracemalloc.start()
    with (tmp_path / "f").open("wb") as file:
        pickling.dump_namespace(here, ["a"], file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_full_disk_is_an_error() -> None:
    with pytest.raises(OSError, match="No space left"), open("/dev/full", "w+b") as file:
        raw = file.raw
        pickling.dump_namespace({"a": b"x" * 1_000_000}, ["a"], _Unseekable(raw))


class _Unseekable(io.RawIOBase):
    """A file on a full disk."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def tell(self) -> int:
        return 0

    def write(self, data: Any) -> int:
        written: int = self._raw.write(data)
        return written


@pytest.mark.parametrize("damage", [b"", b"nonsense", pickle.dumps(["x"]), pickle.dumps(1)])
def test_damaged_stream(damage: bytes) -> None:
    with pytest.raises(unpickling.LoadError) as caught:
        unpickling.load_namespace(io.BytesIO(damage), {})
    assert caught.value.name is None


def test_truncated_stream_names_what_is_lost() -> None:
    data = dump({"a": 1, "b": "x" * 1000}, "a", "b")[1].getvalue()
    there: dict[str, Any] = {}
    with pytest.raises(unpickling.LoadError, match="the value of b can't be unpickled") as caught:
        unpickling.load_namespace(io.BytesIO(data[:-500]), there)
    assert caught.value.name == "b" and there == {"a": 1}


def test_missing_or_old_cloudpickle_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import cloudpickle

    pickling._pickler_class.cache_clear()
    monkeypatch.setattr(cloudpickle, "__version__", "2.2.1")
    with pytest.raises(pickling.DependencyError, match=r"cloudpickle 2\.2\.1 in .* is too old"):
        dump({"x": 1}, "x")
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(pickling.DependencyError, match="pip install cloudpickle"):
        dump({"x": 1}, "x")
