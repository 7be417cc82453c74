"""Objects are known by their place in a value, and get new content in place."""

from __future__ import annotations

import collections
import io
import types
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganga_kernel.payload import parts, pickling, unpickling


class Plain:
    """Rebuilt from its attributes."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Slots:
    """Has no dictionary."""

    __slots__ = ("a", "b")


class Pair(NamedTuple):
    """A tuple with names, whose items are parts."""

    left: Any
    right: Any


class Odd(tuple):  # type: ignore[type-arg]
    """A tuple that is pickled in its own way."""

    def __reduce__(self) -> Any:
        return Odd, (list(self),)


def elsewhere(value: Any) -> Any:
    """The value as another process has it."""
    file = io.BytesIO()
    pickling.dump_namespace({"x": value}, ["x"], file)
    file.seek(0)
    there: dict[str, Any] = {"__name__": "__main__"}
    unpickling.load_namespace(file, there)
    return there["x"]


_ATOMS = st.one_of(st.integers(), st.text(max_size=3), st.none(), st.floats(), st.booleans())
_VALUES = st.recursive(
    st.one_of(_ATOMS, st.sets(st.integers(), max_size=3), st.builds(bytearray)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.builds(Pair, inner, inner),
        st.lists(inner, max_size=3).map(collections.deque),
        st.dictionaries(st.text(max_size=2), inner, max_size=4),
        st.dictionaries(st.text(max_size=2), inner, max_size=2).map(collections.OrderedDict),
        st.builds(Plain, left=inner, right=inner),
        inner.map(lambda one: [one, one]),
        inner.map(lambda one: (one, Plain(again=one))),
        st.just(np.arange(3)),
    ),
    max_leaves=20,
)


@given(_VALUES)
def test_both_sides_number_alike(value: Any) -> None:
    here, there = parts.parts(value), parts.parts(elsewhere(value))
    assert [type(one).__name__ for one in here] == [type(one).__name__ for one in there]


def _with(value: Any, **attributes: Any) -> Any:
    for name, one in attributes.items():
        setattr(value, name, one)
    return value


def _counted(text: str) -> Any:
    found = collections.defaultdict(int)
    for letter in text:
        found[letter] += 1
    return found


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ([1], [2, 3], list), ({"a": 1}, {"b": 2}, dict), ({1}, {2}, set),
        (bytearray(b"a"), bytearray(b"bc"), bytes), (np.zeros(2), np.ones(2), np.ndarray.tolist),
        (np.zeros((2, 3)), np.arange(6.0).reshape(3, 2).T, np.ndarray.tolist),
        (np.zeros(6)[::2], np.arange(6.0)[1::2], np.ndarray.tolist),
        (np.zeros(1, "M8[D]"), np.array(["2026-01-02"], "M8[D]"), np.ndarray.tolist),
        (np.array(["a"], object), np.array([[1]], object)[0], np.ndarray.tolist),
        (Plain(a=1, gone=2), Plain(a=3), vars), (_with(Slots(), a=1, b=2), _with(Slots(), b=3), lambda v: (
            hasattr(v, "a"), v.b)),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1, 2]}), pd.DataFrame.to_json),
        (pd.Series([1.0]), pd.Series([2.0, 3.0]), pd.Series.to_json),
        (collections.deque([1]), collections.deque([2]), list), (_counted("aab"), _counted("b"), dict),
        (collections.Counter("aab"), collections.Counter("b"), dict),
        (collections.OrderedDict(a=1), collections.OrderedDict(b=2, a=1), list),
        (np.random.default_rng(1), np.random.default_rng(2), lambda v: v.bit_generator.state),
        (types.CellType(1), types.CellType([2]), lambda v: v.cell_contents),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_an_object_gets_the_content_of_another_one(old: Any, new: Any, told: Any) -> None:
    content = elsewhere(parts.content(new))
    parts.replace(old, content)
    assert told(old) == told(new)
    empty = parts.shell(old)
    if empty is not old:
        made = elsewhere([empty])[0]
        parts.replace(made, content)
        assert type(made).__name__ == type(new).__name__ and told(made) == told(new)


def test_what_has_no_content_to_replace_is_replaced_itself() -> None:
    class Own:
        def __reduce__(self) -> Any:
            return Own, ()

    for value in (Own(), Own, [].append):
        with pytest.raises(parts.NotReplaceable):
            parts.content(value)


class Fussy:
    """Doesn't take every content."""

    full = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["full"]:
            raise ValueError("no room")


def test_an_object_that_refuses_its_new_content_takes_only_its_name_away() -> None:
    here = {"__name__": "__main__", "fussy": Fussy(), "other": [1]}
    known = {parts.Key(name, 0): here[name] for name in ("fussy", "other")}
    here["fussy"].full, here["other"][:] = True, [2]
    file = io.BytesIO()
    pickling.dump_namespace(here, ["fussy", "other"], file, known=known, changed=known)
    there = {"__name__": "__main__", "fussy": Fussy(), "other": [1]}
    file.seek(0)
    unpickling.load_namespace(file, there, None, {key: there[key.name] for key in known})
    assert there["other"] == [2]
    assert pickling.reason_of(there["fussy"]) == "it can't get its new content here: ValueError: no room"


def test_a_large_value_has_many_parts_but_not_all() -> None:
    assert len(parts.parts([[i] for i in range(9_000)])) == 9_001
    assert len(parts.parts([[i] for i in range(20_000)])) == 1


def test_what_is_behind_a_value_but_has_no_number() -> None:
    shared = np.zeros(4)
    assert parts.behind(Odd([shared]))[1] is shared
    assert shared is parts.behind(shared[1:])[1]
    assert [type(one) for one in parts.parts(shared[1:])] == [np.ndarray]
