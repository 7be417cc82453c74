"""What all our magics share."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from metakernel import Magic

from ..errors import CellError, OptionError
from ..options import Parser, count

if TYPE_CHECKING:
    from ..failures import Failure
    from ..notebook import Notebook


class GangaMagic(Magic, ABC):
    """A line magic that the grid kernel answers.

    A subclass has a method ``line_<name>``, which MetaKernel registers it by and whose docstring is the
    user's help, and `parser` and `run`.
    """

    name: str

    @property
    def notebook(self) -> Notebook:
        """The notebook that the magic is used in."""
        return self.kernel.notebook  # type: ignore[attr-defined,no-any-return]

    def parser(self) -> Parser:
        """A parser for the magic's line; a subclass adds its arguments."""
        return Parser(prog=f"%{self.name}", add_help=False, allow_abbrev=False)

    @abstractmethod
    async def run(self, line: str) -> Failure | None:
        """Do what the magic's line says. Returns what failed that the cell waited for."""

    @property
    def request(self) -> Any:
        """The request that the magic answers; see `ganga_kernel.notebook.Asking`."""
        return self.kernel.request()  # type: ignore[attr-defined]

    async def run_cell(self, code: str) -> Failure | None:
        """Run a cell that begins with this magic.

        Raises
        ------
        CellError: there is something else in the cell.
        """
        lines = [line.strip() for line in code.splitlines() if line.strip()]
        rest = [line for line in lines[1:] if not line.startswith("#")]
        if rest:
            raise CellError(
                f"%{self.name} stands in a cell of its own; {rest[0]!r} comes after it.",
                "Put the rest into another cell."
                + (" For one batch cell, write %%batch." if self.name == "batch" else ""),
            )
        return await self.run(lines[0][1 + len(self.name) :].strip())

    def parsed(self, line: str) -> Any:
        """The magic's arguments.

        Raises
        ------
        OptionError: they can't be read.
        """
        try:
            return self.parser().parse_args(shlex.split(line, comments=True))
        except ValueError as error:
            raise OptionError(f"%{self.name}: {error}.", "Check the quotes.") from error


class ForJobs(GangaMagic):
    """A magic for one or more jobs, named by their numbers."""

    def parser(self) -> Parser:
        """See `GangaMagic.parser`."""
        parser = super().parser()
        parser.add_argument("jobs", nargs="+", type=count, metavar="N", help="number of a job")
        return parser
