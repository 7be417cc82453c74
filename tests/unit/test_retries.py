"""Tasks that run again by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from ganga_kernel.broker import backends, retries
from ganga_kernel.broker.watch import Observation
from ganga_kernel.condor.holds import explain, is_for_memory
from ganga_kernel.errors import BackendError, OptionError
from ganga_kernel.options import from_line

MB = 2**20
HELD = Observation(0, "held", 1.0, reason="It used more", for_memory=True)
ASKED = {"memory": 200 * MB, "retry_memory": 2.0, "retries": 2}


def task(*again: dict[str, Any], attempt: int = 1) -> dict[str, Any]:
    return {
        "task": 0, "attempt": attempt, "again": list(again), "result": None, "state": "running", "since": 0.5,
    }  # fmt: skip


def test_memory_grows_with_each_hold_up_to_the_number_of_retries() -> None:
    one = task()
    for attempt, had, gets in ((1, 200, 400), (2, 400, 800)):
        one["attempt"] = attempt
        one |= retries.on_observation(one, HELD, ASKED, False)
        assert one["again"][-1]["said"] == (
            f"Attempt {attempt + 1} with {gets}MB, after it used more memory than {had}MB."
        )
        assert one["again"][-1]["memory"] == gets * MB and retries.due(one)
        one |= retries.settled(one)
        assert not retries.due(one) and retries.memory_of(one, ASKED) == gets * MB
    assert retries.on_observation(one, HELD, ASKED, False) == {}


def test_a_hold_that_is_told_once_more_is_the_same_hold() -> None:
    held = {**task(), "state": "held", "since": HELD.time}
    assert retries.on_observation(held, HELD, ASKED, False) == {}


def test_memory_that_the_user_raised_meanwhile_counts() -> None:
    changed = {**ASKED, "memory": 1000 * MB}
    before = {"cause": "memory", "said": "", "memory": 400 * MB, "due": False}
    assert retries.on_observation(task(before), HELD, changed, False)["again"][-1]["memory"] == 2000 * MB


@pytest.mark.parametrize(
    ("seen", "asked", "killed"),
    [
        (Observation(0, "held", 1.0, for_memory=False), ASKED, False),
        (HELD, {"memory": MB, "retries": 2}, False),
        (HELD, ASKED, True),
        (Observation(0, "queued", 1.0), ASKED, False),
        (Observation(0, "running", 1.0), ASKED, False),
    ],
)
def test_nothing_else_is_retried(seen: Observation, asked: dict[str, Any], killed: bool) -> None:
    assert retries.on_observation(task(), seen, asked, killed) == {}


def test_a_crash_that_htcondor_retries_is_told() -> None:
    seen = Observation(0, "queued", 1.0, exit_code=-11)
    one = task() | retries.on_observation(task(), seen, {"retries": 1}, False)
    assert retries.sentences([one]) == [
        "Attempt 2, since attempt 1 ended without a word from the cell. "
        "The program crashed (SIGSEGV), probably in a compiled library."
    ]
    assert not retries.due(one)
    assert retries.sentences([one, task(), one]) == ["2 of its tasks were run again after a crash."]


@pytest.mark.parametrize(
    ("code", "subcode", "said", "expected"),
    [
        (34, 102, "Job has gone over cgroup memory limit of 200 megabytes.", True),
        (34, 104, "disk", False),
        (26, 0, "Memory usage has exceeded what was requested", True),
        (21, 0, "The job used more than 4 GB of memory", True),
        (3, 0, "The job attribute PeriodicHold expression evaluated to TRUE", False),
        (1, 102, "memory limit exceeded, says somebody", False),
        (None, None, "", False),
    ],
)
def test_which_holds_are_for_memory(code: int | None, subcode: int | None, said: str, expected: bool) -> None:
    assert is_for_memory(code, subcode, said) is expected
    assert ("--memory" in explain(code, subcode, said, 3)) is expected


def test_options() -> None:
    found = from_line("--retries 3 --retry-memory 1.5x")
    assert found.resources() == {"retries": 3, "retry_memory": 1.5}
    assert found.describe() == "--retries 3 --retry-memory 1.5x"
    for text in ("1x", "0", "x", "two", "101x"):
        with pytest.raises(OptionError):
            from_line(f"--retry-memory {text}")
    with pytest.raises(BackendError, match="none is asked for"):
        backends.check_resources("HTCondor", {"retry_memory": 2.0})
