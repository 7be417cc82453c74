"""The text of `%logs`."""

from __future__ import annotations

from typing import Any

from ganga_kernel.logs import Reader, as_text

TASK: dict[str, Any] = {
    "task": 0, "state": "failed", "reason": "", "host": "node7", "attempt": 2, "exit_code": 1,
    "error": {"ename": "KeyError", "evalue": "'a'", "traceback": []}, "said": "", "wrote": "", "again": [],
    "frames": [{"function": "<module>", "line": 3, "names": {"x": "1"}},
               {"function": "f", "line": 2, "names": {"y": "[1, 2]"}}],
}  # fmt: skip
FOUND: dict[str, Any] = {
    "job": {"id": 3, "backend": "HTCondor", "native": "17", "clusters": ["17"], "state": "failed",
            "folder": "/spool/jobs/t", "tasks": 1},
    "used": [], "tasks": [TASK], "more": 0,
    "log": "/spool/jobs/t/condor.log", "log_tail": "005 (017.000.000)\n...",
}  # fmt: skip


def test_a_failed_job_with_its_locals() -> None:
    assert as_text(FOUND, with_locals=True).splitlines() == [
        "Job 3 (HTCondor, cluster 17): failed",
        "Its files are in /spool/jobs/t",
        "Task 0: failed, on node7, attempt 2, exit code 1",
        "  KeyError: 'a'",
        "  In the cell, line 3:",
        "    x = 1",
        "  In f, line 2:",
        "    y = [1, 2]",
        "HTCondor's log, /spool/jobs/t/condor.log, ends so:",
        "  005 (017.000.000)",
        "  ...",
    ]


def test_locals_are_shown_on_request_only() -> None:
    assert "x = 1" not in as_text(FOUND, with_locals=False)


def test_a_lost_task_and_many_more() -> None:
    lost = {**TASK, "state": "lost", "host": "", "attempt": 1, "exit_code": None, "error": None, "frames": [],
            "reason": "It was ended by SIGSEGV.", "said": "Fatal Python error"}  # fmt: skip
    found = {**FOUND, "tasks": [lost], "more": 80, "log": "", "log_tail": ""}
    assert as_text(found, with_locals=True).splitlines()[2:] == [
        "Task 0: lost",
        "  It was ended by SIGSEGV.",
        "  Its process said, outside of the cell:",
        "    Fatal Python error",
        "  No local variables were kept: the cell raised no error, or it is a map's.",
        "… and 80 tasks more.",
    ]


def test_what_a_cell_wrote_stands_with_its_task() -> None:
    found = {**FOUND, "tasks": [{**TASK, "wrote": "one\ntwo"}]}
    lines = as_text(found, with_locals=False).splitlines()
    assert lines[lines.index("  Its cell wrote last:") + 1 :][:2] == ["    one", "    two"]


def test_a_reader_is_told_of_a_new_attempt_and_of_the_end_on_lines_of_their_own() -> None:
    reader = Reader(3, None)
    answer = {"texts": [("stdout", "half")], "after": {"output": 1}, "attempt": 1, "state": "running"}
    assert reader.texts({**answer, "attempt": 0, "texts": []}, False) == []
    assert reader.texts(answer, False) == [("stdout", "half")]
    assert reader.texts({**answer, "texts": [("stderr", "all\n")], "attempt": 2}, False) == [
        ("stdout", "\n--- Job 3: starts anew, attempt 2 ---\n"),
        ("stderr", "all\n"),
    ]
    assert reader.texts({**answer, "texts": [], "attempt": 2, "state": "done"}, True) == [
        ("stdout", "--- Job 3: done ---\n")
    ]
    assert reader.after == {"output": 1}
