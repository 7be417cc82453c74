"""Our magics, one a module; a class's docstring is what the user reads with ``%name?``."""

from __future__ import annotations

from .batch import BatchMagic
from .hold import HoldMagic
from .job import JobMagic
from .jobs import JobsMagic
from .kill import KillMagic
from .logs import LogsMagic
from .release import ReleaseMagic
from .resubmit import ResubmitMagic
from .wait import WaitMagic

MAGICS = (
    BatchMagic, HoldMagic, JobMagic, JobsMagic, KillMagic, LogsMagic, ReleaseMagic, ResubmitMagic, WaitMagic,
)  # fmt: skip
