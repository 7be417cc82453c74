"""Credentials that HTCondor's clients find: tokens and Kerberos tickets, and how long they last."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from ..condor import lifetimes
from ..condor.lifetimes import Credential
from ..panel import span
from .finding import FAILURE, NOTE, OK, WARNING, Finding

_AREA = "Credentials"
#: Seconds of life below which a credential is about to end.
_SOON = 24 * 3600


def look(tokens: Iterable[Path], kerberos: bool) -> list[Finding]:
    """What there is, and what is left of it.

    Parameters
    ----------
    tokens: folders in which HTCondor looks for tokens
    kerberos: whether HTCondor may use a ticket
    """
    found = [_left(token) for token in lifetimes.tokens(tokens)]
    if kerberos:
        found += _tickets()
    none = Finding(
        _AREA, NOTE, "No token or ticket; HTCondor knows you by your login on this machine, if at all."
    )
    return found or [none]


def _tickets() -> list[Finding]:
    if shutil.which("klist") is None:
        return [Finding(_AREA, NOTE, "Kerberos can't be looked at: there is no klist.")]
    none = Finding(_AREA, WARNING, "There is no Kerberos ticket.", "Run kinit, if the pool wants one.")
    return [_left(ticket) for ticket in lifetimes.tickets()] or [none]


def _left(credential: Credential) -> Finding:
    what = credential.name[0].upper() + credential.name[1:]
    if credential.end is None:
        return Finding(_AREA, OK, f"{what} has no end.")
    left = credential.end - time.time()
    remedy = "Renew it: jobs that end later can't be watched, nor fetched, by then."
    if left <= 0:
        return Finding(_AREA, FAILURE, f"{what} ended {span(-left)} ago.", "Renew it.")
    if left < _SOON:
        return Finding(_AREA, WARNING, f"{what} ends in {span(left)}.", remedy)
    return Finding(_AREA, OK, f"{what} lasts for {span(left)}.")
