"""Whose cell is it? Pure functions over what an execute_request carries.

In this order: tags in the request's metadata (JupyterLab, Notebook 7, VS Code); the cell's first lines
(``%%batch``, ``#| tags: [batch]``, ``# %% tags=["batch"]``: works everywhere); otherwise the cell is
ordinary and goes to the notebook's own kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: The line magics that the grid kernel answers.
MAGICS = ("batch", "hold", "job", "jobs", "kill", "logs", "release", "resubmit", "wait")

_MAGIC = re.compile(r"\s*(?P<percent>%{1,2})(?P<name>\w+)(?P<help>\?{1,2})?(?=\s|$)")
_QUARTO = re.compile(r"#\|\s*tags\s*:\s*(?P<tags>.*)$")
_PERCENT = re.compile(r"#\s*%%.*?\btags\s*=\s*\[(?P<tags>[^\]]*)\]")


@dataclass(frozen=True)
class BatchCell:
    """A cell that runs as a job, and the options given with it, as text still.

    Attributes
    ----------
    source: the code to run; a ``%%batch`` line is blanked so that line numbers hold
    line: the text after ``%%batch``, or empty
    tags: options of ``batch:name=value`` tags
    metadata: options of the cell's ``{"batch": {…}}`` metadata
    """

    source: str
    line: str = ""
    tags: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MagicCell:
    """A cell that begins with one of our line magics, or asks for help on one."""

    name: str
    help: bool = False


def route(code: str, metadata: Mapping[str, Any]) -> BatchCell | MagicCell | None:
    """Where an execute_request goes.

    Parameters
    ----------
    code: the cell as typed
    metadata: the request's metadata; front ends that send none send ``{}``

    Returns
    -------
    A `BatchCell` or `MagicCell` for the grid kernel, None for an ordinary cell.
    """
    magic = _first_magic(code)
    if magic is not None:
        name, percent, help_ = magic["name"], magic["percent"], bool(magic["help"])
        if name in MAGICS and help_:
            return MagicCell(name, help=True)
        if name == "batch" and percent == "%%":
            return _from_magic(code, metadata)
        if name in MAGICS and percent == "%":
            return MagicCell(name)
    tags = [*cell_tags(metadata), *_source_tags(code)]
    if not any(tag == "batch" or tag.startswith("batch:") for tag in tags):
        return None
    return BatchCell(code, "", _options(tags), _metadata_options(metadata))


def cell_tags(metadata: Mapping[str, Any]) -> list[str]:
    """The tags of a cell's metadata."""
    tags = metadata.get("tags", [])
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def _first_magic(code: str) -> re.Match[str] | None:
    """The magic that the first line with text in it begins with."""
    stripped = code.lstrip()
    return _MAGIC.match(stripped) if stripped.startswith("%") else None


def _from_magic(code: str, metadata: Mapping[str, Any]) -> BatchCell:
    """The batch cell that begins with ``%%batch``."""
    lines = code.split("\n")
    at = next(i for i, line in enumerate(lines) if line.strip())
    rest = lines[at].strip()[len("%%batch") :].strip()
    lines[at] = ""
    return BatchCell("\n".join(lines), rest, _options(cell_tags(metadata)), _metadata_options(metadata))


def _metadata_options(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the cell's ``batch`` metadata."""
    options = metadata.get("batch", {})
    return dict(options) if isinstance(options, dict) else {}


def _source_tags(code: str) -> list[str]:
    """The tags that the cell's leading comment lines give."""
    tags: list[str] = []
    for line in code.lstrip().split("\n"):
        if not line.startswith("#"):
            break
        found = _QUARTO.match(line) or _PERCENT.match(line)
        if found:
            parts = found["tags"].strip().strip("[]").split(",")
            tags += [part.strip().strip("'\"") for part in parts if part.strip()]
    return tags


def _options(tags: Iterable[str]) -> dict[str, Any]:
    """``batch:memory=4GB`` → ``{"memory": "4GB"}``; ``batch:fresh`` → ``{"fresh": ""}``.

    An option that several tags give has the list of its values.
    """
    pairs = (tag.removeprefix("batch:").partition("=") for tag in tags if tag.startswith("batch:"))
    found: dict[str, list[str]] = {}
    for name, _, value in pairs:
        values = found.setdefault(name.strip(), [])
        if value.strip() not in values:
            values.append(value.strip())
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}
