"""The command ``ganga-kernel doctor``: its arguments, what it prints, and exit codes."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .. import options
from ..errors import GangaKernelError, OptionError, RunInterrupted
from ..imports import unloaded
from ..jobrequest import DEFAULT_BACKEND
from ..settings import load
from ..version import __version__
from . import condor, finding, folders, ganga, jupyter, slurm
from .finding import FAILURE, OK, Finding

if TYPE_CHECKING:
    from ..install import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Add the ``doctor`` command; its arguments carry ``run`` as their ``run`` attribute."""
    parser = subparsers.add_parser(
        "doctor",
        help="tell what works here, and what to do about what doesn't",
        description="Look at Jupyter, folders, Ganga, HTCondor, Slurm and credentials, and tell what works, "
        "what doesn't, and what to do about it. Nothing is changed, and no job submitted without --submit.",
        epilog="Exit codes: 0, all that is needed works; 1, something doesn't; 130, interrupted.",
    )
    parser.add_argument(
        "--submit", nargs="?", const="", metavar="BACKEND",
        help="run a batch cell, too, on BACKEND, or on that of cells that name none",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry out ``ganga-kernel doctor``; return the exit code."""
    try:
        found = list(_findings(args.submit))
    except (KeyboardInterrupt, RunInterrupted):
        print("ganga-kernel doctor: Interrupted.", file=sys.stderr)
        return 130
    if args.json:
        print(json.dumps([one._asdict() for one in found], indent=2))
    else:
        print(finding.as_text(found))
    return int(any(one.status == FAILURE for one in found))


def _findings(submit: str | None) -> Iterator[Finding]:
    yield Finding(
        "ganga-kernel", OK, f"{__version__}, Python {platform.python_version()} ({sys.executable})."
    )
    try:
        settings = load()
    except GangaKernelError as error:
        yield Finding("Settings", FAILURE, error.message, error.remedy)
        return
    backend = settings.backend or DEFAULT_BACKEND
    try:
        defaults = options.from_mapping(settings.options, "c.GangaKernel.options").resources()
    except OptionError as error:
        yield Finding("Settings", FAILURE, error.message, error.remedy)
        defaults = {}
    looks: list[Callable[[], list[Finding]]] = [
        jupyter.look,
        lambda: folders.look(settings),
        ganga.look,
        lambda: condor.look("HTCondor" in (backend, submit), defaults, settings.spool),
        lambda: slurm.look("Slurm" in (backend, submit)),
    ]
    if submit is not None:
        looks.append(lambda: _trial(submit or backend))
    for look in looks:
        yield from look()


def _trial(backend: str) -> list[Finding]:
    with unloaded("rfc3987_syntax"):  # builds a grammar for seconds, by which nbformat checks nothing
        from . import trial
    return trial.look(backend, Path.cwd())
