"""What makes a cell the same cell, and whether it attaches at all."""

from __future__ import annotations

from typing import Any

import pytest

from ganga_kernel.bridge import inputs
from ganga_kernel.bridge.placeholders import UNBOUND, Pending, base, owned, place, restore, sources
from ganga_kernel.options import from_line
from ganga_kernel.reattach import hint, hint_without, identities, mode

ENVIRONMENT = {"directory": "/d", "python": "/p", "python_version": [3, 11, 2], "environ": {"A": "1"}}
SAME: dict[str, Any] = {
    "notebook": "/nb.ipynb", "cell": "a", "source": "x = y", "backend": "Local",
    "chosen": from_line("--cpus 1"),
    "captured": {"environment": ENVIRONMENT, "inputs": ["f00d"], "map": None, "files": None},
}  # fmt: skip


def captured(**changes: Any) -> dict[str, Any]:
    return {"captured": {**SAME["captured"], **changes}}


@pytest.mark.parametrize(
    "other",
    [
        {"notebook": "/copy.ipynb"},
        {"cell": "b"},
        {"source": "x = y "},
        {"backend": "HTCondor"},
        {"chosen": from_line("--cpus 2")},
        {"chosen": from_line("--cpus 1 --map y=range(3)")},
        {"chosen": from_line("--cpus 1 --seed 3")},
        captured(environment={**ENVIRONMENT, "directory": "/e"}),
        captured(environment={**ENVIRONMENT, "python": "/q"}),
        captured(environment={**ENVIRONMENT, "python_version": [3, 12, 0]}),
        captured(inputs=["beef"]),
        captured(map={"inputs": ["beef"]}),
        captured(files={"state": "beef"}),
    ],
)
def test_a_change_makes_it_another_cell(other: dict[str, Any]) -> None:
    assert not {*identities(**{**SAME, **other})} & {*identities(**SAME)}


@pytest.mark.parametrize(
    "other",
    [
        captured(environment={**ENVIRONMENT, "environ": {}}),
        {"chosen": from_line("--cpus 1 --wait --cache")},
        captured(inputs=["beef", "f00d"]),
    ],
)
def test_what_a_session_brings_along_doesn_t_count(other: dict[str, Any]) -> None:
    assert {*identities(**{**SAME, **other})} & {*identities(**SAME)}


@pytest.mark.parametrize(
    "other", [captured(unlike={}), captured(map={"unlike": {"name": "x", "reason": "it is open"}})]
)
def test_what_can_t_be_compared_has_no_identity(other: dict[str, Any]) -> None:
    if "unlike" in other["captured"]:
        del other["captured"]["inputs"]
    assert identities(**{**SAME, **other}) == []


@pytest.mark.parametrize(
    ("line", "notebook", "expected"),
    [
        ("", "/nb.ipynb", "undelivered"),
        ("", "", "never"),
        ("--cache", "", "any"),
        ("--cache", "/nb.ipynb", "any"),
        ("--fresh", "/nb.ipynb", "never"),
        ("--fresh --cache", "/nb.ipynb", "never"),
        ("--no-cache --no-fresh", "/nb.ipynb", "undelivered"),
    ],
)
def test_which_jobs_a_cell_may_attach_to(line: str, notebook: str, expected: str) -> None:
    assert mode(from_line(line), notebook) == expected
    assert from_line(line).resources() == {}


def test_the_hints_say_what_to_do() -> None:
    assert "--fresh" in hint({"ended": None}) and "--fresh" in hint({"ended": 1.0})
    assert "x can't be compared (why)." in hint_without({"name": "x", "reason": "why."})


def test_a_cell_that_is_run_again_has_one_placeholder_a_name() -> None:
    namespace: dict[str, Any] = {"x": 1}
    for token in ("first", "second", "first"):
        place(namespace, ["x", "new"], token, 1, frozenset(), frozenset())
    for token in ("first", "second"):
        for name, pending in owned(namespace, token).items():
            restore(namespace, name, pending)
    assert namespace == {"x": 1} and UNBOUND not in namespace.values()


def test_a_name_that_a_job_surely_binds_comes_from_that_job_alone() -> None:
    namespace: dict[str, Any] = {"x": 1, "y": 2}
    for token in ("first", "second"):
        place(namespace, ["x", "y"], token, 1, frozenset(), frozenset(["x"]))
    assert [one._ganga_token for one in sources(namespace["x"])] == ["second"]
    assert [one._ganga_token for one in sources(namespace["y"])] == ["second", "first"]
    assert base(namespace["x"]) is UNBOUND
    assert base(namespace["y"]) == 2


def test_a_name_that_a_job_brought_and_another_is_changing_still_identifies_the_cell() -> None:
    namespace: dict[str, Any] = {"rows": [1]}
    inputs.await_job("first")
    inputs.brought(namespace, ["rows"], "first")
    namespace["rows"] = Pending("rows", "second", 2, [1], frozenset(), False)
    found = inputs.compared(
        namespace, {"rows"}, [["second", ["rows"], []]], {"rows": [1]}, "m = len(rows)", set()
    )
    assert found.keys() == {"inputs"}


def test_what_was_set_in_a_module_counts() -> None:
    def compared(**values: Any) -> Any:
        return inputs.compared({}, set(), [], {}, "", set(), {"helper": values})["inputs"]

    assert compared(x={1, 2}) == compared(x={2, 1}) != compared(x={1}) != compared(y={1})
