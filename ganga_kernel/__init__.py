"""ganga-kernel: a Jupyter kernel whose tagged cells run on the grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .payload.progress import progress

__all__ = ["__version__", "progress"]


def __getattr__(name: str) -> Any:
    """`progress`, imported when somebody asks for it: the kernel's start doesn't wait for what it needs."""
    if name != "progress":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .payload.progress import progress

    return progress
