"""Slurm: is it here, and does it answer?"""

from __future__ import annotations

import shutil

from ..broker import slurmqueue
from ..errors import BackendError
from .finding import FAILURE, NOTE, OK, WARNING, Finding

_AREA = "Slurm"


def look(needed: bool) -> list[Finding]:
    """Whether jobs can be submitted to Slurm, as far as can be told without submitting one.

    Parameters
    ----------
    needed: whether batch cells go there; a machine without Slurm is well otherwise
    """
    bad = FAILURE if needed else WARNING
    missing = [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]
    if len(missing) == 3 and not needed:
        return [Finding(_AREA, NOTE, "There is none here.")]
    if missing:
        told = f"There is no {' and no '.join(missing)} here."
        return [Finding(_AREA, bad, told, "Use a machine from which they work, or another backend.")]
    try:
        slurmqueue.ask()
    except BackendError as error:
        return [Finding(_AREA, bad, error.message, error.remedy)]
    return [Finding(_AREA, OK, "squeue answers.")]
