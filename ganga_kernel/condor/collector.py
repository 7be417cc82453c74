"""What the pool's collector tells of machines and daemons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import ScheddUnreachable
from .bindings import load_bindings

#: Slots that were not split off a partitionable one, which has what these use.
UNDIVIDED = 'SlotType =!= "Dynamic"'


def query(kind: Any, constraint: str | None, attributes: Iterable[str], pool: str | None = None) -> list[Any]:
    """Ads of a pool's collector, with these of their attributes, as ``classad2.ClassAd``.

    Parameters
    ----------
    kind: one of ``htcondor2.AdType``
    pool: the collector's address; None for the configured one

    Raises
    ------
    ScheddUnreachable: the collector doesn't answer.
    """
    htcondor2 = load_bindings()
    try:
        return list(htcondor2.Collector(pool).query(kind, constraint, sorted(attributes)))
    except htcondor2.HTCondorException as error:
        raise ScheddUnreachable(f"The pool's collector doesn't answer: {error}.", "") from error
