"""Slurm's words, as far as we speak them."""

from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganga_kernel.broker import slurm
from ganga_kernel.broker.slurmqueue import SlurmQueue, SlurmWatcher
from ganga_kernel.errors import BackendError


def line(number: str = "7", state: str = "RUNNING", reason: str = "None", command: str = "/x|y") -> str:
    return f"{number}|{state}|{reason}|node|token|{command}"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20))
def test_any_value_reaches_sbatch_as_it_is_and_ganga_takes_nothing_in_it_for_an_option(value: str) -> None:
    job = {"id": 3, "token": "t", "resources": {"set": [["partition", value]], "memory": 2**20 + 1}}
    spelled = slurm.options(job)
    words = shlex.split(spelled)
    assert words == [
        "-J", "ganga-kernel-3", "--mem=2M", f"--partition={value}", "--comment=t"
    ]  # fmt: skip
    found = re.findall(r"(-\w+)", spelled.replace("--partition=", "").replace("--mem=", ""))
    assert set(found) <= {"-J", "-comment"}


def test_what_the_kernel_relies_on_is_not_to_be_set() -> None:
    with pytest.raises(BackendError, match="--set job_name=… can't be given"):
        slurm.options({"id": 1, "token": "t", "resources": {"set": [["job_name", "x"]]}})


def test_what_is_no_option_is_named() -> None:
    with pytest.raises(BackendError, match=r"--set \+JobFlavour=… is no option of sbatch"):
        slurm.options({"id": 1, "token": "t", "resources": {"set": [["+JobFlavour", '"x"']]}})


@pytest.mark.parametrize(
    ("state", "reason", "ours", "says"),
    [
        ("PENDING", "Priority", "queued", "higher priority"),
        ("PENDING", "QOSGrpNodeLimit", "queued", "Slurm says: QOSGrpNodeLimit."),
        ("PENDING", "JobHeldAdmin", "held", "by an administrator"),
        ("COMPLETING", "None", "running", ""),
        ("TIMEOUT", "None", "ended", "longer --runtime"),
        ("OUT_OF_MEMORY", "None", "ended", "more --memory"),
        ("REVOKED", "None", "ended", "REVOKED"),
    ],
)
def test_states(state: str, reason: str, ours: str, says: str) -> None:
    (seen,) = slurm.observations({2: "7"}, slurm.rows(line(state=state, reason=reason)), 9.0)
    assert (seen.task, seen.state, seen.time) == (2, ours, 9.0) and says in seen.reason


def test_only_answers_to_later_questions_count_and_each_state_is_told_once() -> None:
    queue = SlurmQueue()
    queue.begun = queue.number = 4
    watcher = SlurmWatcher('["7", "8"]', queue)
    assert watcher.poll() == []
    queue.begun = queue.number = 5
    queue.rows = slurm.rows(f"{line()}\n{line('8', 'PENDING')}\nnonsense")
    assert [(one.task, one.state) for one in watcher.poll()] == [(0, "running"), (1, "queued")]
    assert watcher.poll() == []
    queue.number, queue.rows = 6, slurm.rows(line("8", "PENDING"))
    (gone,) = watcher.poll()
    assert (gone.task, gone.state) == (0, "ended") and "doesn't know it any more" in gone.reason
