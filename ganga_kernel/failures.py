"""Why a cell failed, in the words that it shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .broker.summary import error_of, needed_in_vain
from .cells import LiveCell
from .errors import GangaKernelError
from .execution import Refusal


class Interrupted(Exception):
    """The user interrupted the wait for a job; the job goes on."""

    def __init__(self, job: int) -> None:
        self.job = job


@dataclass(frozen=True)
class Failure:
    """Why a cell failed, as an error message says it; `shown` if the cell has shown it already."""

    ename: str
    evalue: str
    traceback: list[str]
    shown: bool = False

    @classmethod
    def from_error(cls, error: GangaKernelError) -> Failure:
        """For an error of ours: sentences, no traceback."""
        name = type(error).__name__
        lines = [f"\x1b[31m{name}\x1b[0m: {error.message}"]
        return cls(name, str(error), [*lines, *([error.remedy] if error.remedy else [])])

    def refusal(self, number: int) -> Refusal:
        """The same, for a cell that isn't run; `number` is its In[n]."""
        return Refusal(number, self.ename, self.evalue, self.traceback)

    @classmethod
    def bug(cls, error: Exception) -> Failure:
        """For an error that is a defect of ganga-kernel."""
        what = f"{type(error).__name__}: {error}"
        line = f"\x1b[31mInternalError\x1b[0m: ganga-kernel failed: {what}"
        return cls("InternalError", what, [line, "Please report it; the kernel's log has more."])

    @classmethod
    def interrupt(cls, interrupted: Interrupted) -> Failure:
        """For an interrupted wait."""
        sentence = f"the wait for job {interrupted.job} was ended; the job goes on."
        line = f"\x1b[31mKeyboardInterrupt\x1b[0m: {sentence}"
        return cls("KeyboardInterrupt", "", [line])


class JobFailed(Exception):
    """A job that a cell waited for failed."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


def of_job(live: LiveCell) -> Failure | None:
    """The error that a job ended with, or None."""
    job = live.job
    if job["state"] == "done":
        if not live.refused:
            return None
        why = f"The result of job {job['id']} was not taken: {live.refused}."
        return Failure("ResultRefused", why, [f"\x1b[31mResultRefused\x1b[0m: {why}"], shown=True)
    error = error_of(job)
    assert error is not None
    return Failure(**error, shown=True)


def inherited(failure: Failure, job: dict[str, Any]) -> Failure:
    """The same error, in a cell that needs what the job was to bind."""
    return replace(failure, traceback=[needed_in_vain(job), *failure.traceback], shown=False)
