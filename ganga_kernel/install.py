"""``ganga-kernel install``: tells Jupyter about the kernel.

A wheel brings the kernelspec along, and its kernel is found without this command. It is needed
after an editable install, for a Jupyter that lives in another environment than the kernel, and for
a second kernel under another name.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_client.kernelspec import KernelSpecManager

from .errors import GangaKernelError, InstallError
from .inner import find_spec

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

KERNEL_NAME = "ganga_python3"
"""The name under which the kernel is installed, and which notebooks refer to."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the ``install`` command; its arguments carry ``run`` as their ``run`` attribute."""
    parser = subparsers.add_parser(
        "install",
        help="install the kernelspec, so that Jupyter offers the kernel",
        description="Install the kernelspec, so that Jupyter offers the kernel. It starts with the "
        f"Python that runs this command ({sys.executable}). Without an option that says where, it "
        "goes into the active virtual or conda environment, or else to the user's kernels.",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="for every Jupyter of this user")
    where.add_argument(
        "--sys-prefix", action="store_true", help=f"for this Python's environment, {sys.prefix}"
    )
    where.add_argument(
        "--prefix", type=Path, metavar="P", help="under P/share/jupyter/kernels, P being a folder"
    )
    parser.add_argument("--name", metavar="N", help=f"the kernel's name (default: {KERNEL_NAME})")
    parser.add_argument(
        "--display-name", metavar="D", help="what the launcher shows (default: Ganga (Python 3))"
    )
    parser.add_argument(
        "--inner", metavar="K", help="wrap the ipykernel of kernelspec K, in whichever environment it is"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry out ``ganga-kernel install``; return the exit code.

    Prints where the kernelspec is, or on stderr one sentence about what stands in the way.
    """
    prefix = None if args.user else args.prefix
    if prefix is None and (args.sys_prefix or (not args.user and _in_environment())):
        prefix = Path(sys.prefix)
    try:
        installed = install(prefix, args.name, args.display_name, args.inner)
    except GangaKernelError as error:
        print(f"ganga-kernel install: {error}", file=sys.stderr)
        return 1
    print(f"Installed the kernelspec {installed.name} in {installed}")
    if str(installed.parent) not in map(os.path.abspath, KernelSpecManager().kernel_dirs):
        print(
            "This environment's Jupyter does not look there. One that does not either finds the "
            f"kernel with JUPYTER_PATH={installed.parent.parent}"
        )
    return 0


def install(
    prefix: Path | None, name: str | None = None, display_name: str | None = None, inner: str | None = None
) -> Path:
    """Install the kernelspec, in place of one that has the same name, and return its folder.

    Parameters: ``prefix``, the folder in which ``share/jupyter/kernels`` lies or is made, or None
    for the user's kernels; ``name``, the kernel's name, made lower case by Jupyter;
    ``display_name``, what front ends show, or None for the usual one; ``inner``, the kernelspec of
    the ipykernel to wrap, or None for that of this interpreter.

    Raises InstallError, or KernelStartError for an inner kernel that can't be wrapped.
    """
    if inner is not None:
        display_name = display_name or f"Ganga ({find_spec(inner).display_name})"
    name = name or (KERNEL_NAME if inner is None else f"ganga_{inner}")
    # By way of a copy: the source may be the very folder that is replaced.
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, "kernelspec")
        copy.mkdir()
        for file in find_kernelspec().iterdir():
            if file.is_file():
                shutil.copyfile(file, copy / file.name)
        spec = json.loads((copy / "kernel.json").read_text(encoding="utf-8"))
        # "python" would be replaced by the server's interpreter, which need not have the package.
        spec["argv"][0] = sys.executable
        if inner is not None:
            spec["argv"] += ["--inner", inner]
        if display_name is not None:
            spec["display_name"] = display_name
        (copy / "kernel.json").write_text(json.dumps(spec, indent=2) + "\n", encoding="utf-8")
        manager = KernelSpecManager()
        # run() says where the kernelspec went, in a sentence of its own.
        manager.log.setLevel("ERROR")
        try:
            installed = manager.install_kernel_spec(
                str(copy),
                kernel_name=name,
                user=prefix is None,
                prefix=None if prefix is None else os.path.abspath(prefix),
            )
        except ValueError as error:
            raise InstallError(str(error)) from error
        except OSError as error:
            if prefix is None:
                where, instead = Path(manager.user_kernel_dir), "choose a folder with --prefix"
            else:
                where = Path(os.path.abspath(prefix), "share", "jupyter", "kernels")
                instead = "choose your own kernels with --user, or another folder with --prefix"
            raise InstallError(f"cannot write to {where} ({error.strerror or error}): {instead}.") from error
    return Path(installed)


def find_kernelspec() -> Path:
    """Return the folder with ``kernel.json`` and the logos that this installation brought along.

    An installed wheel lists them among its files, wherever it was told to put them; an editable
    install has the source tree's own folder.

    Raises InstallError when neither is there.
    """
    try:
        files = metadata.files("ganga-kernel") or []
    except metadata.PackageNotFoundError:
        files = []
    candidates = [Path(str(file.locate())) for file in files if file.name == "kernel.json"]
    candidates.append(Path(__file__).parents[1] / "kernelspec" / "kernel.json")
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve().parent
    raise InstallError(
        "the kernelspec's files are missing from this installation; install ganga-kernel again"
    )


def _in_environment() -> bool:
    """Whether this Python belongs to a virtual or conda environment."""
    return sys.prefix != sys.base_prefix or Path(sys.prefix, "conda-meta").is_dir()
