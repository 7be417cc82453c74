"""What is known of sites' HTCondor pools, which don't tell it themselves: one small class each.

A site is chosen by `GangaKernel.site`. What it knows can be set as any other trait: ``c.Cern.transfer = …``.
"""

from __future__ import annotations

from .base import Site
from .cern import Cern
from .generic import Generic

__all__ = ["SITES", "Site"]

#: The sites by the names that `GangaKernel.site` takes.
SITES: dict[str, type[Site]] = {"generic": Generic, "cern": Cern}
