"""What is refused before it is submitted."""

from __future__ import annotations

import pytest

from ganga_kernel.condor import guards
from ganga_kernel.errors import SubmitRefused
from ganga_kernel.maps import MOST_TASKS
from ganga_kernel.sites import SITES

CERN = SITES["cern"]().known()


@pytest.mark.parametrize(
    ("kind", "tasks", "sent", "said"),
    [
        ("eos", 1, 1, "The spool is on EOS"),
        ("afs", 4001, 1, "4,001 tasks, whose files are more than the 16,000"),
        ("xfs", 1, 2 * 2**30, "would be sent 2 GB of files, and the site allows 1 GB"),
    ],
)
def test_what_can_t_work_is_refused(kind: str, tasks: int, sent: int, said: str) -> None:
    with pytest.raises(SubmitRefused, match=said):
        guards.check(CERN, kind, tasks, sent)


def test_what_is_allowed_goes_out() -> None:
    guards.check(CERN, "afs", 4000, 2**30)
    guards.check(SITES["generic"]().known(), "nfs4", 10_000, 2**40)
    assert (
        guards.most_tasks("afs", MOST_TASKS) == 4000 and guards.most_tasks("nfs4", MOST_TASKS) == MOST_TASKS
    )


def test_spooled_jobs_have_limits_of_their_own() -> None:
    guards.check(CERN, "eos", 100, 1, spooled=True)  # the schedd writes nothing there
    guards.check(CERN, "nfs4", 101, 1)
    with pytest.raises(
        SubmitRefused, match="101 tasks, and the site allows 100 of one whose files are spooled"
    ):
        guards.check(CERN, "nfs4", 101, 1, spooled=True)
    guards.check_queue(CERN, 400, 100)
    guards.check_queue(SITES["generic"]().known(), 10_000, 10_000)
    with pytest.raises(SubmitRefused, match="You have 450 jobs in the schedd's queue, this one has 51 tasks"):
        guards.check_queue(CERN, 450, 51)
    assert guards.most_tasks("nfs4", MOST_TASKS, CERN["spooled_tasks"]) == 100
