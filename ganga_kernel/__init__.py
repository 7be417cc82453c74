"""ganga-kernel: a Jupyter kernel whose tagged cells run on the grid."""

from __future__ import annotations

from .payload.progress import progress
from .version import __version__

__all__ = ["__version__", "progress"]
