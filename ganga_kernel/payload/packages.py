"""An environment that isn't the notebook's: which one it is, and what it lacks."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
from typing import Mapping

#: What to do about it.
REMEDY = "Choose another Python with --python, --setup or --container."


def compared(wanted: Mapping[str, str]) -> list[str]:
    """Sentences on the Python that runs here, and what it lacks or has in another version.

    Parameters
    ----------
    wanted: by the name of each package that the cell needs, its version in the notebook; empty if unknown
    """
    said = [f"Python {platform.python_version()} at {sys.executable} runs the cell."]
    missing = [name for name in wanted if not _is_here(name)]
    if missing:
        spelled = [f"{name} {wanted[name]}".strip() for name in missing]
        said.append(f"It lacks {_listed(spelled)}, which the cell needs. {REMEDY}")
    others = [
        f"{name} {here} in the place of {version}"
        for name, version in wanted.items()
        if version and name not in missing and (here := version_of(name)) not in ("", version)
    ]
    if others:
        said.append(f"It has {_listed(others)}.")
    return said


def version_of(name: str) -> str:
    """The version of an installed package that is called as its module is; empty if that isn't known."""
    try:
        return importlib.metadata.version(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return ""


def _is_here(name: str) -> bool:
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
