"""The figures as plain text, Markdown or JSON."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from .figures import HEAD, Section


def machine(daemons: str, whose: str) -> dict[str, str]:
    """What the figures were measured on.

    Parameters
    ----------
    daemons: version of the pool's daemons
    whose: what the pool is; empty if there is none
    """
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "machine": f"{len(os.sched_getaffinity(0))} cores, {_memory()} GB, {_system()}",
        "load at the start": f"{os.getloadavg()[0]:.2f}",
        "code": _code(),
        "Python": platform.python_version(),
        **{name: _version(name) for name in ("ganga-kernel", "ipykernel", "jupyter_client", "ganga")},
        "htcondor bindings": _version("htcondor"),
        "HTCondor daemons": f"{daemons}, {whose}" if whose else daemons,
    }


def as_text(about: dict[str, str], sections: Iterable[Section]) -> str:
    """For a terminal."""
    lines = [f"{name}: {value}" for name, value in about.items()]
    for section in sections:
        rows = _table(section)
        lines += ["", section.title, "=" * len(section.title), *_columns(rows)]
        lines += [f"- {note}" for note in section.notes]
    return "\n".join(lines)


def as_markdown(about: dict[str, str], sections: Iterable[Section]) -> str:
    """For a page: a list of what it was measured on, and a table a section."""
    lines = [f"- {name}: {value}" for name, value in about.items()]
    for section in sections:
        head, *rows = _table(section)
        rows = [head, ("---",) * len(head), *rows]
        lines += ["", f"### {section.title}", ""]
        lines += ["| " + " | ".join(_escape(cell) for cell in row) + " |" for row in rows]
        lines += ["", *(f"- {note}" for note in section.notes)] if section.notes else []
    return "\n".join(lines)


def as_json(about: dict[str, str], sections: Iterable[Section]) -> dict[str, object]:
    """For programs: everything, each sample included."""
    return {"about": about, "sections": [section.plain() for section in sections]}


def _table(section: Section) -> list[tuple[str, ...]]:
    """Head and rows, without the columns in which nothing stands."""
    rows = [figure.cells() for figure in section.figures]
    kept = [at for at in range(len(HEAD)) if any(row[at] for row in rows)]
    return [tuple(row[at] for at in kept) for row in (HEAD, *rows)]


def _escape(cell: str) -> str:
    """For a Markdown table, which would drop the spaces that indent a phase."""
    indent = len(cell) - len(cell.lstrip())
    return "&emsp;" * (indent // 2) + cell.strip().replace("|", "\\|")


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _code() -> str:
    """The commit that is measured, and whether files differ from it."""
    here = Path(__file__).parent
    try:
        asked = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
        return subprocess.run(asked, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f}"


def _system() -> str:
    """The distribution's name, for example "Debian GNU/Linux 12 (bookworm)"."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def write(path: Path, content: str) -> None:
    """Write a file, or nothing of it."""
    new = path.with_name(path.name + ".new")
    new.write_text(content)
    new.replace(path)
