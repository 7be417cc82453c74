"""The folder in which a cell runs: the notebook's, or one of the job's own with the files that it was sent.

HTCondor puts what it sends into one folder, under base names. So a job's own folder has the notebook's path
below a root, and the input its path there: ``../data/x.csv`` is found as in the notebook.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import NamedTuple

from . import tarred
from .job import Files, Job, PayloadError

#: The root, in the scratch folder.
_ROOT = "files"


class Entered(NamedTuple):
    """Where the cell runs.

    Attributes
    ----------
    is_notebooks: whether it is the notebook's folder, so that what it writes need not be brought there
    note: a sentence, if it is another one than it might be
    """

    is_notebooks: bool
    note: str | None


def enter(job: Job, sandbox: Path) -> Entered:
    """Go to the folder in which the cell is to run.

    Parameters
    ----------
    sandbox: where the job's files are

    Raises
    ------
    PayloadError: a file that the cell was to have isn't here.
    """
    files = job.files
    if files is None or not files.travel:
        entered = _enter_notebooks(job.directory)
        if files is not None:
            _check(files, entered.note)
        return entered
    if not files.fetched and _is_notebooks(job.directory, files):
        return _enter_notebooks(job.directory)
    return _enter_own(job.directory, files, sandbox)


def _enter_notebooks(directory: Path) -> Entered:
    try:
        os.chdir(str(directory))
    except OSError as error:
        return Entered(
            False,
            f"The notebook's folder {directory} can't be used here ({error.strerror}), "
            f"so the cell runs in {Path.cwd()}.",
        )
    return Entered(True, None)


def _is_notebooks(directory: Path, files: Files) -> bool:
    """Whether the folder of that path here is the notebook's, with the input as it was sent."""
    needed = os.X_OK | (os.W_OK if files.output else 0)
    try:
        return (
            directory.stat().st_ino == files.folder
            and os.access(str(directory), needed)
            and all(os.stat("/" + place).st_size == size for place, size in files.inputs)
        )
    except OSError:
        return False


def _check(files: Files, problem: str | None) -> None:
    """See that the files are in their places, and those that the cell writes will be."""
    if problem is not None:
        raise PayloadError(f"{problem} The files that --input and --output name are in that folder.")
    for place, _ in files.inputs:
        if not os.access("/" + place, os.R_OK):
            raise PayloadError(
                f"/{place}, which --input names, can't be read here. Check that it is there, and that the "
                "workers see its folder."
            )


def _enter_own(directory: Path, files: Files, sandbox: Path) -> Entered:
    root = sandbox / _ROOT
    folder = root / str(directory).lstrip("/")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if files.archive is not None:
            tarred.unpack(files.archive, root)
        for large in files.large:
            if large.file.stat().st_size != large.size:
                raise PayloadError(
                    f"/{large.place} was changed after the cell was submitted. Run the cell again."
                )
            (root / large.place).parent.mkdir(parents=True, exist_ok=True)
            large.file.replace(root / large.place)
        for place in files.folders:
            (folder / place).mkdir(parents=True, exist_ok=True)
        for name in files.fetched:
            (sandbox / name).replace(folder / name)
        os.chdir(str(folder))
    except (OSError, tarred.ArchiveError) as error:
        raise PayloadError(
            f"The files that --input names can't be put into their places on the worker: {error}. "
            "Ask for more --disk if there was too little, then run the cell again."
        ) from error
    return Entered(False, "The cell runs in a folder of its own on the worker, with the files of --input.")


def remedy(exception: BaseException | None) -> str | None:
    """What to do about a file that a cell didn't find in a folder of its own; None if it isn't about one."""
    while exception is not None and not isinstance(exception, FileNotFoundError):
        exception = exception.__cause__ or exception.__context__
    if exception is None or not isinstance(exception.filename, str):
        return None
    name = exception.filename
    if os.path.isabs(name):
        return (
            f"{name} isn't on this worker. Put it, or a link to it, beside the notebook, open it by its path "
            "relative to the notebook, and name that with --input.\n"
        )
    option = f"--input {shlex.quote(name)}"
    return f"{name} isn't on this worker. If it is beside the notebook, {option} brings it along.\n"
