"""The command ``ganga-kernel run``: its arguments, files, words and exit codes."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RunError, RunInterrupted
from ..imports import unloaded
from ..install import KERNEL_NAME
from . import parameters

if TYPE_CHECKING:
    from ..install import Subparsers

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def add_parser(subparsers: Subparsers) -> None:
    """Add the ``run`` command; its arguments carry ``run`` as their ``run`` attribute."""
    parser = subparsers.add_parser(
        "run",
        help="run a notebook without a browser",
        description="Run a notebook as Run All does in a browser: cells tagged `batch` run as jobs, side by "
        "side. It ends with the last job, and saves the notebook with all outputs and final panels.",
        epilog="Exit codes: 0, all went well; 1, a cell or a job failed, or the kernel died; 2, the notebook "
        "couldn't be read, started or saved; 130, interrupted. With 1 and 130 the notebook so far is saved.",
    )
    parser.add_argument("notebook", type=Path, metavar="NOTEBOOK", help="what to run")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help="where to save it; may be NOTEBOOK"
    )
    parser.add_argument(
        "-p", "--parameter", type=parameters.parse, action="append", default=[], dest="parameters",
        metavar="NAME=VALUE", help="set a variable behind the cell tagged `parameters`, or at the top; the "
        "value is JSON, a Python literal, or else a string",
    )  # fmt: skip
    parser.add_argument(
        "--kernel", metavar="NAME", help=f"the kernel (default: the notebook's own, or else {KERNEL_NAME})"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="tell of errors only")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry out ``ganga-kernel run``; return the exit code.

    Tells on stderr what runs and what became of it, or in a sentence what stands in the way.
    """
    try:
        return _run(args.notebook.absolute(), args)
    except RunError as error:
        return _tell(error)
    except KeyboardInterrupt:
        return _tell(RunInterrupted("Interrupted."))


def _run(path: Path, args: argparse.Namespace) -> int:
    with unloaded("rfc3987_syntax"):  # builds a grammar for seconds, by which nbformat checks nothing
        from . import files
        from .client import started
        from .runner import Runner

    notebook = files.read(path)
    parameters.insert(notebook, dict(args.parameters))
    files.check_writable(args.output)
    own = notebook.metadata.get("kernelspec") or {}
    kernel = args.kernel or own.get("name", KERNEL_NAME)
    code = 0
    with started(kernel, path) as client:
        try:
            Runner(notebook, client, _silent if args.quiet else _say).run()
        except RunError as error:
            code = _tell(error)
        files.save(notebook, args.output)
    if code or not args.quiet:
        _say(f"The notebook {'so far ' if code else ''}is in {args.output}.")
    return code


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _silent(text: str) -> None:
    """Quiet: what isn't an error isn't told."""


def _tell(error: RunError) -> int:
    """Tell of an error, in colour only on a terminal; return its exit code."""
    text = f"ganga-kernel run: {error}"
    _say(text if sys.stderr.isatty() else _ESCAPES.sub("", text))
    return error.exit_code
