"""Jobs as the broker's clients submit them."""

from __future__ import annotations

from typing import Any


def new_job(token: str) -> dict[str, Any]:
    """A job as a client submits it."""
    return {
        "token": token, "notebook": "n", "cell": "", "source": "s", "label": "l", "execution_count": 1,
        "names": ["a"], "backend": "Local", "resources": {}, "folder": "/f", "python": {}, "tasks": 2,
        "after": [], "map": None, "fingerprints": [],
    }  # fmt: skip
