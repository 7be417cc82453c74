"""What a task has written until now, read bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganga_kernel.broker import reading
from ganga_kernel.broker.reading import events_of, read, task_of, texts_of
from ganga_kernel.errors import BackendError, OptionError
from ganga_kernel.magics.logs import LogsMagic
from ganga_kernel.options import job_and_task

#: All that can be read.
KINDS = ("stdout", "stderr", "events")


def event(proc: int, text: str = "Image size of job updated: 1\n\t0  -  MemoryUsage of job (MB)") -> str:
    """An event as HTCondor's log has it."""
    return f"006 (017.{proc:03}.000) 2026-11-25 20:00:00 {text}\n...\n"


def job(folder: Path, backend: str = "HTCondor", **task: Any) -> dict[str, Any]:
    """A job's row with two tasks."""
    row = {"task": 0, "backend_ended": 0, "state": "running", "attempt": 1, **task}
    return {
        "id": 3, "folder": str(folder), "backend": backend, "resources": {}, "clusters": [[17, 0, 2]],
        "tasks": [row, {**row, "task": 1}],
    }  # fmt: skip


def output(number: int, kind: str, **content: Any) -> dict[str, Any]:
    """An output as the store tells it."""
    return {"number": number, "output": {"type": kind, "content": content}}


def test_a_task_is_named_where_there_are_several(tmp_path: Path) -> None:
    assert task_of(job(tmp_path), 1) == 1
    with pytest.raises(BackendError, match=r"2 tasks, 0 to 1\.\nSay which, for example %logs 3\.0"):
        task_of(job(tmp_path), None)
    with pytest.raises(BackendError, match="no task 2: its tasks are 0 to 1"):
        task_of(job(tmp_path), 2)
    single = {**job(tmp_path), "tasks": job(tmp_path)["tasks"][:1]}
    assert task_of(single, None) == task_of(single, 0) == 0
    with pytest.raises(BackendError, match="no task 1: its only one is 0"):
        task_of(single, 1)


@pytest.mark.parametrize("text", ["", "x", "3.", "3.x", "3.-1", ".1", "0", "0.1", "3.1.2"])
def test_what_names_no_task(text: str) -> None:
    with pytest.raises(ValueError):
        job_and_task(text)
    assert job_and_task("3.0") == (3, 0) and job_and_task("3") == (3, None)


def test_what_a_cell_shows_has_a_text() -> None:
    shown = [
        output(0, "stream", name="stderr", text="warning\n"),
        output(1, "display_data", data={"text/plain": "<Figure>", "image/png": "iVBO"}),
        output(2, "clear_output", wait=True),
        output(3, "error", ename="E", evalue="e", traceback=["Traceback", "E: e"]),
    ]
    assert texts_of(shown) == [
        ("stderr", "warning\n"),
        ("stdout", "<Figure>\n"),
        ("stderr", "Traceback\nE: e\n"),
    ]


def test_each_kind_goes_on_where_it_stopped(tmp_path: Path) -> None:
    row = job(tmp_path)
    first = read(row, 0, KINDS, [output(7, "stream", name="stdout", text="a")], {})
    assert first["texts"] == [("stdout", "a")] and first["after"]["output"] == 8 and not first["more"]
    (tmp_path / "0.stderr").write_text("whole\nhal")
    (tmp_path / "condor.log").write_text(event(0, "mine") + event(1, "other") + event(0, "half")[:-3])
    second = read(row, 0, KINDS, [], first["after"])
    assert second["texts"] == [("stderr", "whole\n"), ("stdout", event(0, "mine"))]
    with (tmp_path / "condor.log").open("a") as file:
        file.write("..\n")
    ended = job(tmp_path, backend_ended=1, state="done")
    third = read(ended, 0, KINDS, [], second["after"])
    assert third["texts"] == [("stderr", "hal"), ("stdout", event(0, "half"))]
    assert (third["over"], third["state"], third["after"]["output"]) == (True, "done", 8)
    assert read(ended, 0, KINDS, [], third["after"])["texts"] == []
    (tmp_path / "0.stderr").write_text("anew\n")
    assert read(row, 0, ["stderr"], [], third["after"])["texts"] == [("stderr", "anew\n")]


def test_only_what_is_wanted_is_shown(tmp_path: Path) -> None:
    (tmp_path / "0.stderr").write_text("outside\n")
    outputs = [output(n, "stream", name=name, text=name) for n, name in enumerate(("stdout", "stderr"))]
    row = job(tmp_path, "Local")
    assert read(row, 0, ["stdout"], outputs, {})["texts"] == [("stdout", "stdout")]
    assert read(row, 0, ["stderr"], outputs, {})["texts"] == [("stderr", "stderr"), ("stderr", "outside\n")]
    with pytest.raises(BackendError, match="Local keeps no event log of job 3"):
        read(row, 0, ["events"], outputs, {})
    assert read(row, 0, KINDS, outputs, {})["texts"][0] == ("stdout", "stdout")


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=30)), st.data())
def test_a_file_read_in_any_pieces_is_read_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("read")
    whole = "\n".join(lines).encode()
    after: dict[str, int] = {}
    found, written = "", 0
    row = job(folder)
    while written < len(whole):
        more = data.draw(st.integers(1, len(whole) - written))
        with (folder / "0.stderr").open("ab") as file:
            file.write(whole[written : written + more])
        written += more
        row["tasks"][0]["backend_ended"] = int(written == len(whole))
        answer = read(row, 0, ["stderr"], [], after)
        found += "".join(text for _, text in answer["texts"])
        after = answer["after"]
    assert found == whole.decode()


def test_a_large_file_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_BYTES", 10)
    (tmp_path / "0.stderr").write_text("123456\n89\nabcdefghijklmnop\nend")
    texts, after, more = [], {}, True
    while more:
        answer = read(job(tmp_path, backend_ended=1), 0, ["stderr"], [], after)
        texts += [text for _, text in answer["texts"]]
        after, more = answer["after"], answer["more"]
    assert texts == ["123456\n89\n", "abcdefghij", "klmnop\n", "end"]


def test_events_of_other_procs_and_what_only_looks_like_one_are_left_out() -> None:
    text = (
        event(12) + event(1) + "(017.012.000) no event\n...\n" + event(12, "again") + "006 (017.012.000) half"
    )
    assert events_of(text, "17.12") == event(12) + event(12, "again")
    assert events_of(text, "18.12") == events_of(text, None) == ""


def test_the_line_of_the_magic() -> None:
    parse = LogsMagic.parser(LogsMagic.__new__(LogsMagic)).parse_args
    asked = parse(["3.12", "-f", "--stdout", "--events"])
    assert (asked.job, asked.follow, asked.kinds) == ((3, 12), True, ["stdout", "events"])
    assert parse(["3"]).kinds is None
    with pytest.raises(OptionError):
        parse(["3.x"])
