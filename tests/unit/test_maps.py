"""The option --map, and how items become tasks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganga_kernel import maps
from ganga_kernel.errors import OptionError
from ganga_kernel.maps import chunks
from ganga_kernel.options import Options, for_many, from_line, from_mapping


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--map x=range(3)", ["x=range(3)"]),
        ("--map x=[1, 2] --cpus 2", ["x=[1, 2]"]),
        ("--cpus 2 --map x=['a b', \"c]\"]", ["x=['a b', \"c]\"]"]),
        ("--map=a,b=zip(p, q) --map c=r", ["a,b=zip(p, q)", "c=r"]),
        ("--map 'x=1 if y else 2'", ["x=1 if y else 2"]),
        ('--map "x={n: 1}"', ["x={n: 1}"]),
        ("--map x=d['it\\'s']", ["x=d['it\\'s']"]),
        ("--cpus 2 # --map x=y", None),
        ("--requirements 'a --map b=c'", None),
    ],
)
def test_a_map_s_expression_is_python(line: str, expected: list[str] | None) -> None:
    found = from_line(line).map
    assert (None if found is None else [str(one) for one in found]) == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--map x", "NAME=EXPRESSION"),
        ("--map x=", "NAME=EXPRESSION"),
        ("--map x==3", "NAME=EXPRESSION"),
        ("--map 1=range(3)", "no name"),
        ("--map for=range(3)", "no name"),
        ("--map x=a --map x,y=b", "x is mapped twice"),
        ("--map x=[1, 2", "misses a ']'"),
        ("--map x=['a", "isn't closed"),
        ("--map", "expected one argument"),
        ("--map x=a --chunk 0", "1 or more"),
        ("--seed -1", "argument"),
        ("--seed 4294967296", "from 0 to"),
    ],
)
def test_what_is_no_map_says_so(line: str, said: str) -> None:
    with pytest.raises(OptionError, match=said.replace("[", r"\[").replace("]", r"\]")):
        from_line(line)


def test_tags_and_metadata_give_maps() -> None:
    assert from_mapping({"map": "x=range(10)", "chunk": 2, "allow-failures": True, "seed": "7"}, "") == (
        Options(map=(maps.Map(("x",), "range(10)"),), chunk=2, allow_failures=True, seed=7)
    )
    two = from_mapping({"map": ["x=a", "y=b"]}, "the cell's metadata").map
    assert two is not None and [one.names for one in two] == [("x",), ("y",)]
    with pytest.raises(OptionError, match="given once"):
        from_mapping({"memory": ["1GB", "2GB"]}, "the cell's tags")


def test_a_map_is_no_default() -> None:
    with pytest.raises(OptionError, match="belongs to one cell"):
        for_many(from_line("--map x=y"), "%batch")
    assert for_many(from_line("--chunk 3"), "%batch").chunk == 3


def test_the_options_are_spelt_as_one_types_them() -> None:
    for size in ("2", "auto"):
        line = f"--map 'x=[1, 2]' --map a,b=c --chunk {size} --allow-failures --seed 1"
        assert from_line(from_line(line).describe()) == from_line(line)


@given(st.integers(1, 5000), st.integers(1, 600), st.integers(1, 50))
def test_every_item_is_in_one_task_and_tasks_are_of_one_size(count: int, most: int, size: int) -> None:
    found = chunks(count, most, size)
    assert [start for start, _ in found[1:]] == [stop for _, stop in found[:-1]]
    assert (found[0][0], found[-1][1]) == (0, count)
    lengths = {stop - start for start, stop in found}
    assert max(lengths) - min(lengths) <= 1 and min(lengths) >= 1
    assert len(found) <= most and (max(lengths) <= size or len(found) == most)


def test_tasks_on_each_backend() -> None:
    def tasks(count: int, backend: str, chunk: int | None) -> int:
        found = maps.divided(count, backend, 4, chunk, 30)
        assert found["budget"] is None
        return len(found["chunks"])

    assert maps.divided(10, "Local", 4, None, 30)["chunks"] == [[0, 2], [2, 5], [5, 7], [7, 10]]
    assert [tasks(10, "Local", chunk) for chunk in (1, 5, maps.AUTO)] == [4, 2, 4]
    assert [tasks(10, "Slurm", chunk) for chunk in (1, None)] == [10, 4]
    assert tasks(2000, "HTCondor", 1) == 2000 and tasks(20_000, "HTCondor", 1) == maps.MOST_TASKS
    for chunk in (None, maps.AUTO):
        assert maps.divided(2000, "HTCondor", 4, chunk, 30) == {"chunks": [[0, 2000]], "budget": 30}


def test_a_rehearsal_is_of_a_map_on_htcondor() -> None:
    some = (maps.Map(("x",), "range(9)"),)
    maps.check_rehearsal(True, some, "HTCondor")
    maps.check_rehearsal(None, None, "Local")
    for mapped, backend, said in [(None, "HTCondor", "for a map"), (some, "Local", "for HTCondor")]:
        with pytest.raises(OptionError, match=said):
            maps.check_rehearsal(True, mapped, backend)
    assert maps.rehearsed({"only": None, "count": 5}, 2) == [[0, 1], [1, 3], [3, 5]]
    assert maps.rehearsed({"only": [7], "count": 5}, 2) == [[0, 1]]


def test_numbers_as_a_person_writes_them() -> None:
    assert maps.shown([]) == ""
    assert maps.shown([3]) == "3"
    assert maps.shown([1, 2, 3, 7, 9, 10]) == "1 to 3, 7, 9 to 10"
