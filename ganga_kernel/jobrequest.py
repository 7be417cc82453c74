"""A captured batch cell as a job: what the broker and the payload are told, and what the user is."""

from __future__ import annotations

import shlex
import uuid
from typing import Any

from . import inputfiles, reattach
from .options import Options, spell_size
from .routing import BatchCell
from .spool import Spool

#: The embedded default: it needs no batch system.
DEFAULT_BACKEND = "Local"
#: Bytes from which on the size of what travels is worth a sentence.
_WORTH_SAYING = 1 << 20


def request(
    cell: BatchCell, notebook: str, metadata: dict[str, Any], number: int, chosen: Options,
    captured: dict[str, Any], spool: Spool,
) -> dict[str, Any]:  # fmt: skip
    """A job as the broker takes it, see `broker.protocol.SUBMIT`; its folder in the spool is made.

    Parameters
    ----------
    notebook: path of the notebook; empty where the front end doesn't tell
    metadata: of the cell's execute_request
    number: the cell's In[n]
    captured: what the bridge captured for the cell, the items of its map, and its files
    """
    token = uuid.uuid4().hex
    environment, mapped = captured["environment"], _map(captured, chosen)
    folder = spool.new_job(
        token,
        {
            "source": cell.source,
            "execution_count": number,
            "namespace": captured["namespace"],
            "buffers": captured["buffers"],
            "modules": captured["modules"],
            "packages": captured["packages"],
            "mutates": captured["mutates"],
            "surely": captured["surely"],
            "map": mapped,
            "seed": chosen.seed,
            "files": captured["files"] and captured["files"]["described"],
            **environment,
        },
    )
    identity = cell_id(metadata)
    backend = chosen.backend or DEFAULT_BACKEND
    return {
        "token": token,
        "fingerprints": reattach.identities(notebook, identity, cell.source, backend, chosen, captured),
        "notebook": notebook,
        "cell": identity,
        "source": cell.source,
        "execution_count": number,
        "label": _label(cell.source),
        "backend": backend,
        "resources": chosen.resources(),
        "folder": str(folder),
        "names": captured["binds"],
        "tasks": len(mapped["chunks"]) if mapped else 1,
        "after": captured["after"],
        "map": mapped,
        "python": {"executable": environment["python"], "version": environment["python_version"]},
    }


def cell_id(metadata: dict[str, Any]) -> str:
    """The cell's id in the notebook; empty where the front end doesn't tell."""
    return str(metadata.get("cellId", ""))


def identity_of(metadata: dict[str, Any], cell: BatchCell) -> str:
    """What tells a cell from others: the id, or where the front end tells none the source."""
    return cell_id(metadata) or cell.source


def hints(captured: dict[str, Any]) -> list[str]:
    """What is worth saying of a capture, a sentence each, for the panel."""
    names = captured["names"]
    total = sum(names.values())
    if total < _WORTH_SAYING:
        return cautions(captured)
    largest = sorted(names, key=lambda name: -names[name])[:3]
    each = ", ".join(f"{name} ({spell_size(names[name])})" for name in largest)
    return [f"Sent {spell_size(total)}: {each}{', …' if len(names) > 3 else ''}.", *cautions(captured)]


def cautions(captured: dict[str, Any]) -> list[str]:
    """What may surprise in a job made of this capture, a sentence each."""
    said = []
    for name, reason in captured["unpicklable"].items():
        said.append(f"{name} can't travel: {reason} The cell fails if it uses it.")
    for name, reason in captured["refused"].items():
        said.append(f"{name} can't travel: {reason}. The cell fails if it imports it.")
    for name in captured["edited"]:
        said.append(f"{name} was edited after it was imported here: the job runs its file as it is now.")
    if unlike := reattach.unlike(captured):
        said.append(reattach.hint_without(unlike))
    if captured["map"] and captured["mutates"]:
        said.append(f"What an item changes in {', '.join(captured['mutates'])} stays in that item.")
    return said


def unseen(captured: dict[str, Any], chosen: Options) -> list[str]:
    """What to say of files that the cell seems to open and that the workers may not see."""
    if chosen.backend != "HTCondor":
        return []
    directory = captured["environment"]["directory"]
    described = captured["files"]["described"]["inputs"] if captured["files"] else []
    given = {place for place, *_ in described}
    opens = [one for one in captured["opens"] if inputfiles.place_of(directory, one) not in given]
    beside = [one for one in opens if not one.startswith("/")]
    options = " ".join(f"--input {shlex.quote(one)}" for one in beside)
    said = f"The cell opens {', '.join(beside)}: where workers don't see this folder, add {options}."
    far = [
        f"The cell opens {one}, which workers may not see: put a link to it beside the notebook, open that, "
        "and name it with --input."
        for one in opens
        if one.startswith("/")
    ]
    return [*([said] if beside else []), *far]


def merges(chosen: Options) -> dict[str, str]:
    """For each name whose values become one, the expression of the function that makes one of two."""
    return {one.name: one.function() for one in chosen.merge or ()}


def _map(captured: dict[str, Any], chosen: Options) -> dict[str, Any] | None:
    """A job's map as job description and broker have it."""
    given = captured["map"]
    if given is None:
        return None
    described = {name: given[name] for name in ("names", "items", "count", "chunks", "budget")}
    return {
        **described,
        "only": None,
        "surely": captured["surely"],
        "allow_failures": bool(chosen.allow_failures),
        "rehearse": bool(chosen.rehearse),
    }


def _label(source: str) -> str:
    """The cell's first line that does something, for a list of jobs."""
    lines = [line.strip() for line in source.splitlines()]
    code = [line for line in lines if line and not line.startswith(("#", "%"))]
    telling = [line for line in code if not line.startswith(("import ", "from "))]
    return next(iter([*telling, *code]), "")[:120]
