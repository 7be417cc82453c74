"""Credentials that HTCondor's clients find: tokens and Kerberos tickets, and how long they last."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from ..panel import span
from .finding import FAILURE, NOTE, OK, WARNING, Finding

_AREA = "Credentials"
#: Seconds of life below which a credential is about to end.
_SOON = 24 * 3600
_EXPIRY = re.compile(r"^\s*\S+ \S+\s+(?P<end>\S+ \S+)\s+krbtgt/", re.MULTILINE)


def look(tokens: Iterable[Path], kerberos: bool) -> list[Finding]:
    """What there is, and what is left of it.

    Parameters
    ----------
    tokens: folders in which HTCondor looks for tokens
    kerberos: whether HTCondor may use a ticket
    """
    found = [_left(f"Token {path.name}", expiry(text)) for path, text in _tokens(tokens)]
    if kerberos:
        found += _tickets()
    none = Finding(
        _AREA, NOTE, "No token or ticket; HTCondor knows you by your login on this machine, if at all."
    )
    return found or [none]


def _tokens(folders: Iterable[Path]) -> Iterator[tuple[Path, str]]:
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
                    yield path, line


def expiry(token: str) -> float | None:
    """When a token (JWT) ends, in Unix seconds; None if it doesn't, or can't be read.

    It is read, not verified: only the daemons can do that.
    """
    part = token.split(".")[1]
    try:
        said = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return None
    end = said.get("exp") if isinstance(said, dict) else None
    return float(end) if isinstance(end, int | float) else None


def _tickets() -> list[Finding]:
    klist = shutil.which("klist")
    if klist is None:
        return [Finding(_AREA, NOTE, "Kerberos can't be looked at: there is no klist.")]
    said = subprocess.run([klist], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    ends = [_time(found["end"]) for found in _EXPIRY.finditer(said.stdout)]
    known = [end for end in ends if end is not None]
    if not known:
        return [Finding(_AREA, WARNING, "There is no Kerberos ticket.", "Run kinit, if the pool wants one.")]
    return [_left("Kerberos ticket", max(known))]


def _time(text: str) -> float | None:
    for form in ("%m/%d/%y %H:%M:%S", "%m/%d/%Y %H:%M:%S"):
        try:
            return datetime.strptime(text, form).timestamp()
        except ValueError:
            continue
    return None


def _left(what: str, end: float | None) -> Finding:
    if end is None:
        return Finding(_AREA, OK, f"{what} has no end.")
    left = end - time.time()
    remedy = "Renew it: jobs that end later can't be watched, nor fetched, by then."
    if left <= 0:
        return Finding(_AREA, FAILURE, f"{what} ended {span(-left)} ago.", "Renew it.")
    if left < _SOON:
        return Finding(_AREA, WARNING, f"{what} ends in {span(left)}.", remedy)
    return Finding(_AREA, OK, f"{what} lasts for {span(left)}.")
