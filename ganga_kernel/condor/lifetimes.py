"""What HTCondor's clients show of a user, tokens and Kerberos tickets, and how long it lasts."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ganga_kernel.condor.bindings import load_bindings
from ganga_kernel.panel import span

_EXPIRY = re.compile(r"^\s*\S+ \S+\s+(?P<end>\S+ \S+)\s+krbtgt/", re.MULTILINE)


class Credential(NamedTuple):
    """A token or a ticket.

    Attributes
    ----------
    name: for a sentence: "token NAME", "Kerberos ticket"
    end: when it ends, in Unix seconds; None if it doesn't, or that can't be read
    """

    name: str
    end: float | None


def found() -> list[Credential]:
    """All that HTCondor's clients find here."""
    return [*tokens(token_folders()), *tickets()]


def token_folders() -> list[Path]:
    """The folders in which HTCondor looks for tokens."""
    param = load_bindings().param
    own = Path("~/.condor/tokens.d").expanduser()
    system = str(param.get("SEC_TOKEN_SYSTEM_DIRECTORY", ""))
    folders = [Path(str(param.get("SEC_TOKEN_DIRECTORY", "") or own)).expanduser()]
    return [*folders, *([Path(system)] if system else [])]


def tokens(folders: Iterable[Path]) -> Iterator[Credential]:
    """The tokens in these folders. They are read, not verified: only the daemons can do that."""
    for folder in folders:
        try:
            files = sorted(path for path in folder.iterdir() if path.is_file())
        except OSError:  # there is none, or it isn't ours: HTCondor takes none from there either
            continue
        for path in files:
            if not os.access(path, os.R_OK):
                continue
            for line in path.read_text(errors="replace").split():
                if line.count(".") == 2:
                    yield Credential(f"token {path.name}", expiry(line))


def expiry(token: str) -> float | None:
    """When a token (JWT) ends, in Unix seconds; None if it doesn't, or can't be read."""
    part = token.split(".")[1]
    try:
        said = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return None
    end = said.get("exp") if isinstance(said, dict) else None
    return float(end) if isinstance(end, int | float) else None


def tickets() -> list[Credential]:
    """The user's Kerberos ticket, if there is one, and ``klist`` to look at it."""
    klist = shutil.which("klist")
    if klist is None:
        return []
    said = subprocess.run([klist], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    ends = [_time(line["end"]) for line in _EXPIRY.finditer(said.stdout)]
    known = [end for end in ends if end is not None]
    return [Credential("Kerberos ticket", max(known))] if known else []


def _time(text: str) -> float | None:
    for form in ("%m/%d/%y %H:%M:%S", "%m/%d/%Y %H:%M:%S"):
        try:
            return datetime.strptime(text, form).timestamp()
        except ValueError:
            continue
    return None


def too_short(credentials: Iterable[Credential], runtime: float | None, now: float) -> str:
    """A sentence on what ends before a job that is submitted now may have; empty if something lasts.

    Parameters
    ----------
    runtime: seconds that the job may run; None if nobody knows, and only what has ended counts
    """
    last = _last(credentials)
    if last is None or last.end is None or last.end > now + (runtime or 0):
        return ""
    if last.end <= now:
        return _ended(last, now)
    return (
        f"Your {last.name} ends in {span(last.end - now)}, and the job may run for {span(runtime or 0)}: "
        "renew it meanwhile, or the job can't be managed from here."
    )


def ended(credentials: Iterable[Credential], now: float) -> str:
    """A sentence on what has ended, if nothing that lasts is here; empty otherwise."""
    last = _last(credentials)
    return _ended(last, now) if last is not None and last.end is not None and last.end <= now else ""


def _ended(credential: Credential, now: float) -> str:
    assert credential.end is not None
    return (
        f"Your {credential.name} ended {span(now - credential.end)} ago: renew it. Jobs go on, and are "
        "managed again once it is."
    )


def _last(credentials: Iterable[Credential]) -> Credential | None:
    """The one that lasts longest."""
    return max(credentials, key=lambda one: float("inf") if one.end is None else one.end, default=None)
