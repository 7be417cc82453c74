"""Evictions, lost machines and removals in plain words."""

from __future__ import annotations

import pytest

from ganga_kernel.condor.interruptions import FORGOTTEN, NOT_FETCHED, explain


@pytest.mark.parametrize(
    ("state", "said", "expected"),
    [
        ("evicted", "Job vacated by schedd", "back to the queue with condor_vacate_job, by you or"),
        ("evicted", "Preempted by a better job", "since its machine is for a job with a better claim to it"),
        ("evicted", "Can't reconnect", "HTCondor gave it up there; it starts anew."),
        ("evicted", "", "It was sent back to the queue from the machine on which it ran, and starts anew."),
        ("disconnected", "Socket closed", "Its machine can't be reached at the moment. It may go on there:"),
        ("removed", "via condor_rm (by user ada)", "Somebody removed it from HTCondor's queue with"),
        ("removed", "The system macro SYSTEM_PERIODIC_REMOVE_Old expression 'x > 3' evaluated to TRUE",
         "A rule of the pool, SYSTEM_PERIODIC_REMOVE_Old, removed it from HTCondor's queue."),
        ("removed", "The job attribute PeriodicRemove expression 'x' evaluated to TRUE",
         "A condition of the job's own, PeriodicRemove, came true and removed it"),
        ("removed", "too old.", "HTCondor removed it from its queue."),
    ],
)  # fmt: skip
def test_it_says_what_happened_with_htcondor_s_own_words_last(state: str, said: str, expected: str) -> None:
    told = explain(state, said)
    assert expected in told
    assert told.endswith(f"HTCondor says: {said.rstrip('.')}." if said else expected)


def test_words_of_ours_are_not_told_as_htcondor_s() -> None:
    assert explain("removed", NOT_FETCHED) == NOT_FETCHED and explain("removed", FORGOTTEN) == FORGOTTEN


def test_other_states_keep_htcondor_s_words() -> None:
    assert explain("running", "The job is suspended.") == "The job is suspended."
