"""``%batch``: the notebook's defaults for batch cells."""

from __future__ import annotations

from ..options import parser_for_line
from .base import GangaMagic


class BatchMagic(GangaMagic):
    """See `line_batch`."""

    name = "batch"

    def line_batch(self) -> None:
        """%batch [OPTIONS] - set this notebook's defaults for batch cells, or show them.

        %%batch [OPTIONS] as a cell's first line, or the tag `batch`, makes a cell a batch cell: it runs as a
        job, its outputs appear under it, and the names that it binds come back. The options can also be
        tags (`batch:memory=4GB`) or stand in the cell's metadata ({"batch": {"memory": "4GB"}}).

        Examples:
            %batch --backend HTCondor --memory 2GB
            %%batch --cpus 4
        """

    async def run(self, line: str) -> None:
        """Set the defaults, and say what they are now."""
        self.kernel.Print(f"Batch cells here: {self.notebook.set_defaults(line)}")

    def get_help(self, mtype: str, name: str, level: int = 0) -> str:
        """The help, with the list of options."""
        return f"{super().get_help(mtype, name, level)}\n\n{parser_for_line().format_help()}"
