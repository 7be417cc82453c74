"""The payload runs the items of one task of a map, with IPython and without."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from test_payload_harness import EMPTY, Result, run_cell
from test_payload_plain import BARE

from ganga_kernel.payload import items, sealed, unpickling


def run_map(
    folder: Path, source: str, rows: list[Any], namespace: dict[str, Any] | None = None, /,
    names: tuple[str, ...] = ("x",), allow_failures: bool = False,
    budget: float | None = None, **more: Any,
) -> Result:  # fmt: skip
    """Run a cell for all items but the first, which is in a task of its own."""
    with (folder / "items.pkl").open("wb") as file:
        items.write(
            file, namespace or dict(EMPTY), list(names), [(r,) if len(names) == 1 else r for r in rows]
        )
    mapped = {
        "names": list(names), "items": str(folder / "items.pkl"), "chunks": [[1, len(rows)], [0, 1]],
        "only": None, "budget": budget,
        "allow_failures": allow_failures, "surely": [],
    }  # fmt: skip
    return run_cell(folder, source, namespace, map=mapped, **more)


def results(result: Result, namespace: dict[str, Any] | None = None) -> list[items.Result]:
    """What came back, once its signature is seen to be right."""
    written = result.end["result"]
    path = result.folder / written["file"]
    assert written["size"] == path.stat().st_size
    with path.open("rb") as file:
        reader = sealed.Reader(file, result.key, written["signature"])
        return list(items.read(reader, dict(EMPTY) if namespace is None else namespace))


def told(result: Result) -> list[tuple[Any, ...]]:
    """The items' events."""
    return [(e["item"], e["status"], e["error"]) for e in result.events if e["event"] == "item"]


INTERPRETERS = pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="IPython"),
        pytest.param({"interpreter": BARE, "python": sys.executable}, id="plain"),
    ],
)


@INTERPRETERS
def test_each_item_runs_in_a_fresh_namespace(tmp_path: Path, more: dict[str, Any]) -> None:
    source = (
        "import os, sys\n"
        "assert 'left' not in globals() and '_7' not in globals() and box == [0], sorted(globals())\n"
        "assert sys.modules['__main__'].__dict__ is globals() and __name__ == '__main__'\n"
        "assert os.getcwd() == start, os.getcwd()\n"
        "os.chdir('/')\n"
        "box.append(x)\n"
        "left = x * 2\n"
        "x = 'own'\n"
        "print('item', left)\n"
        "left"
    )
    result = run_map(tmp_path, source, [0, 10, 20], {"box": [0], "start": str(tmp_path), **EMPTY}, **more)
    assert result.code == 0, (result.said, result.events)
    assert told(result) == [(1, "ok", None), (2, "ok", None)]
    assert [one._replace(values={n: one.values[n] for n in ("left", "_7")}) for one in results(result)] == [
        items.Result(1, {"left": 20, "_7": 20}, None),
        items.Result(2, {"left": 40, "_7": 40}, None),
    ]
    assert all(set(one.values) == {"left", "_7", "os", "sys"} for one in results(result))
    shown = [(e["item"], e["output"]["type"]) for e in result.events if e["event"] == "output"]
    assert shown == [(1, "stream"), (1, "execute_result"), (2, "stream"), (2, "execute_result")]


@INTERPRETERS
def test_a_class_is_as_it_was_sent_in_each_item(tmp_path: Path, more: dict[str, Any]) -> None:
    namespace: dict[str, Any] = dict(EMPTY)
    exec("class Seen:\n    count = 0", namespace)
    source = "Seen.count += 1\nSeen.extra = getattr(Seen, 'extra', 0) + 1\nfound = Seen.count, Seen.extra"
    result = run_map(tmp_path, source, [0, 1, 2], namespace, **more)
    assert [one.values["found"] for one in results(result)] == [(1, 1), (1, 1)]


@INTERPRETERS
def test_a_failed_item_stops_no_other(tmp_path: Path, more: dict[str, Any]) -> None:
    result = run_map(tmp_path, "y = 1 / x", [5, 0, 4, 0], **more)
    assert result.code == 1
    error = {"ename": "ZeroDivisionError", "evalue": "division by zero"}
    assert told(result) == [(1, "error", error), (2, "ok", None), (3, "error", error)]
    assert results(result) == [items.Result(2, {"y": 0.25}, None)]
    assert result.end["status"] == "error" and result.end["error"]["ename"] == "ZeroDivisionError"
    assert [frame["names"]["x"] for frame in result.end["frames"]] == ["0"]


@INTERPRETERS
def test_failures_that_are_allowed_come_back_as_exceptions(tmp_path: Path, more: dict[str, Any]) -> None:
    source = (
        "class Own(Exception):\n"
        "    def __init__(self, one, two):\n        super().__init__(f'{one} and {two}')\n"
        "if x == 1: raise KeyError('lost')\n"
        "if x == 2: raise Own(1, 2)\n"
        "if x == 3:\n    error = ValueError('held')\n    error.by = (i for i in ())\n    raise error\n"
        "if x == 4: raise SystemExit(3)\n"
        "y = x"
    )
    result = run_map(tmp_path, source, [0, 1, 2, 3, 4, 5], allow_failures=True, **more)
    assert (result.code, result.end["status"], result.end["error"]) == (0, "ok", None)
    found = results(result)
    assert [one.item for one in found] == [1, 2, 3, 4, 5] and found[4].values["y"] == 5
    texts = [f"{type(one.exception).__name__}: {one.exception}" for one in found[:4]]
    assert texts == ["KeyError: 'lost'", "Own: 1 and 2", "ValueError: held", "SystemExit: 3"]
    assert type(found[0].exception) is KeyError


def test_several_names_and_functions(tmp_path: Path) -> None:
    namespace: dict[str, Any] = dict(EMPTY)
    exec("scale = 3\ndef times(n): return n * scale", namespace)
    rows = [(1, None), (2, namespace["times"]), (3, abs)]
    result = run_map(tmp_path, "def made(): return f(n)\nfound = made()", rows, namespace, names=("n", "f"))
    assert result.code == 0, result.events
    found = results(result, {**EMPTY, "f": lambda n: 10 * n, "n": 7})
    assert [one.values["found"] for one in found] == [6, 3]
    assert found[0].values["made"]() == 70


def test_random_numbers(tmp_path: Path) -> None:
    source = (
        "import random, numpy\n"
        "found = random.random(), numpy.random.random()\n"
        "random.seed(0); numpy.random.seed(0)"
    )
    path = ["", *sys.path]

    def draw(name: str, **more: Any) -> list[Any]:
        folder = tmp_path / name
        folder.mkdir()
        return [
            one.values["found"] for one in results(run_map(folder, source, [0] * 4, sys_path=path, **more))
        ]

    free = draw("free")
    assert len({number for both in free for number in both}) == 6
    seeded = draw("seeded", seed=7)
    assert seeded == draw("again", seed=7) and len(set(seeded)) == 3
    assert seeded != draw("other", seed=8)
    (tmp_path / "single").mkdir()
    once = [run_cell(tmp_path / "single", source, seed=7, sys_path=path).names()["found"] for _ in range(2)]
    assert once[0] == once[1]


def test_a_task_reads_its_own_items_only(tmp_path: Path) -> None:
    path = tmp_path / "items.pkl"
    with path.open("wb") as file:
        items.write(file, dict(EMPTY), ["x"], [("a" * 1000,), (2,), ([3],)])
    content = path.read_bytes()
    path.write_bytes(b"?" * 1000 + content[1000:])  # the first one is damaged
    namespace: dict[str, Any] = {}
    items.load(path, 2, namespace)
    assert namespace == {"x": [3]}
    with pytest.raises(unpickling.LoadError):
        items.load(path, 0, namespace)


def test_an_item_that_can_t_travel_is_named(tmp_path: Path) -> None:
    with (
        (tmp_path / "items.pkl").open("wb") as file,
        pytest.raises(items.ItemError, match=r"Item 1 .*generator"),
    ):
        items.write(file, dict(EMPTY), ["x"], [(1,), ((i for i in ()),)])


def test_a_task_hands_on_what_it_has_not_begun_in_time(tmp_path: Path) -> None:
    """Its first item waits until it has told so."""
    waits = (
        "import threading, time\ny = x\n"
        "while any(one.name == 'hands items on' for one in threading.enumerate()): time.sleep(0.01)"
    )
    result = run_map(tmp_path, waits, list(range(9)), budget=0.3)
    assert [one["place"] for one in result.events if one["event"] == "left"] == [2]
    assert [one.item for one in results(result)] == [1]


def test_a_task_runs_those_items_that_are_asked_for(tmp_path: Path) -> None:
    with (tmp_path / "items.pkl").open("wb") as file:
        items.write(file, dict(EMPTY), ["x"], [(n,) for n in range(9)])
    mapped = {
        "names": ["x"], "items": str(tmp_path / "items.pkl"), "only": [2, 5, 7], "chunks": [[0, 2], [2, 3]],
        "budget": None, "rehearse": False, "allow_failures": False, "surely": [],
    }  # fmt: skip
    result = run_cell(tmp_path, "y = 10 * x", None, map=mapped)
    assert [(one.item, one.values["y"]) for one in results(result)] == [(2, 20), (5, 50)]
