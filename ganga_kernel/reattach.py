"""When running a cell again attaches to the job that it started before: what makes it the same cell.

Whether there is such a job, and whether it can still be attached to, is the broker's to decide, as it stores
jobs: see `broker.attaching`.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict
from typing import Any

from .options import Options

#: Options that say how a cell is waited for, or its job found, and not what it does.
_NOT_ITS_OWN = frozenset({"backend", "wait", "cache", "fresh", "merge", "dry_run"})


def mode(chosen: Options, notebook: str) -> str:
    """Which jobs a cell may attach to: "never" any, "undelivered" ones, or "any" of its own.

    Parameters
    ----------
    notebook: path of the notebook; empty where the front end doesn't tell
    """
    if chosen.fresh:
        return "never"
    if chosen.cache:
        return "any"
    return "undelivered" if notebook else "never"


def has_identity(chosen: Options, notebook: str) -> bool:
    """Whether it is worth while to find out what the cell's inputs are."""
    return bool(notebook or chosen.cache)


def identities(
    notebook: str, cell: str, source: str, backend: str, chosen: Options, captured: dict[str, Any]
) -> list[str]:
    """What is the same when the same cell is to do the same in the same place; none if that can't be known.

    Parameters
    ----------
    cell: its id in the notebook; empty where the front end doesn't tell
    captured: of the cell, as `bridge.capture.capture` and `Notebook` say; it may be known in several ways
    """
    if "inputs" not in captured or unlike(captured):
        return []
    where = [captured["environment"][key] for key in ("directory", "python", "python_version")]
    asked = {name: value for name, value in asdict(chosen).items() if name not in _NOT_ITS_OWN}
    items = captured["map"]["inputs"] if captured["map"] else []
    files = captured["files"]["state"] if captured["files"] else ""
    return [
        hashlib.sha256(
            json.dumps(
                [1, notebook, cell, source, backend, asked, where, items, inputs, files], sort_keys=True
            ).encode()
        ).hexdigest()
        for inputs in captured["inputs"]
    ]


def unlike(captured: dict[str, Any]) -> dict[str, str] | None:
    """The name among a cell's inputs, or its map's items, that can't be compared, and the reason."""
    parts = [captured, captured["map"] or {}]
    return next((part["unlike"] for part in parts if "unlike" in part), None)


def hint(job: dict[str, Any]) -> str:
    """A sentence for the panel of a job that was attached to."""
    if job["ended"] is None:
        return "The cell was run before, and this is its job; with --fresh it starts another one."
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job["ended"]))
    return f"The cell was run before, and these are its results of {when}; with --fresh it runs anew."


def hint_without(unlike: dict[str, str]) -> str:
    """A sentence for the panel of a job that will not be attached to."""
    reason = unlike["reason"].rstrip(".")
    return f"Run again, the cell starts another job: {unlike['name']} can't be compared ({reason})."
