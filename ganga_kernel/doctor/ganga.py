"""Ganga: can it be imported, and in which version?"""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

from .finding import FAILURE, OK, Finding

_AREA = "Ganga"
#: Seconds that its import may take, with cold disks.
_PATIENCE = 120


def look() -> list[Finding]:
    """Whether Ganga is here. It is imported in a process of its own, which it takes over."""
    remedy = "Install it for this Python: pip install 'ganga>=8.7'"
    try:
        version = metadata.version("ganga")
    except metadata.PackageNotFoundError:
        return [Finding(_AREA, FAILURE, f"Ganga isn't installed for {sys.executable}.", remedy)]
    try:
        code = "import ganga, GangaCore"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        return [
            Finding(_AREA, FAILURE, f"Ganga {version} isn't imported after {_PATIENCE} s.", "Try it again.")
        ]
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        return [Finding(_AREA, FAILURE, f"Ganga {version} can't be imported: {why}", remedy)]
    return [Finding(_AREA, OK, f"Ganga {version}.")]
