"""``python -m ganga_kernel -f FILE`` is the kernel; ``ganga-kernel COMMAND`` the command line."""

from __future__ import annotations

import argparse
import sys

from .errors import GangaKernelError
from .version import __version__


def main(argv: list[str] | None = None) -> int:
    """Be the kernel, or run a command; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if "-f" in arguments:
        from .wrapper import run

        options = argparse.ArgumentParser(prog="ganga_kernel")
        options.add_argument("-f", required=True, dest="connection_file")
        options.add_argument("--inner", help="kernelspec of the inner kernel")
        try:
            run(**vars(options.parse_args(arguments)))
        except GangaKernelError as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    from . import install
    from .doctor import command as doctor
    from .headless import command

    parser = argparse.ArgumentParser(
        prog="ganga-kernel", description="A Jupyter kernel whose tagged cells run on the grid."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    install.add_parser(commands)
    command.add_parser(commands)
    doctor.add_parser(commands)
    found = parser.parse_args(arguments)
    return int(found.run(found))


if __name__ == "__main__":
    sys.exit(main())
