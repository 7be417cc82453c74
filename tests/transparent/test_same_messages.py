"""Ordinary cells can't tell the difference: what is heard is what plain ipykernel says.

Each check of `checks` is played at the same time against plain ipykernel, against ours, and against ours
while a name is pending. All that clients hear is compared; what may differ is listed in
docs/differences.md, with reasons.
"""

from __future__ import annotations

import pytest

from tests.transparent import checks  # noqa: F401
from tests.transparent.compare import Row, accepted
from tests.transparent.stage import CHECKS, KINDS, Theatre, compare

_met: set[Row] = set()
_played: set[str] = set()


def names(own: bool) -> list[str]:
    return [name for name, one in CHECKS.items() if one.own == own]


def check(theatre: Theatre, name: str, kinds: tuple[str, ...]) -> None:
    failures, met = compare(theatre, name, kinds)
    _met.update(met)
    _played.add(name)
    assert not failures, "\n".join(failures[:12])


@pytest.mark.parametrize("name", names(own=False))
def test_same(theatre: Theatre, name: str) -> None:
    check(theatre, name, KINDS)


@pytest.mark.parametrize("name", names(own=True))
def test_same_end(theatre: Theatre, name: str) -> None:
    theatre.close()
    check(theatre, name, KINDS[:2])


def test_every_listed_difference_exists() -> None:
    if {*CHECKS} - _played:
        pytest.skip("not all checks were played")
    gone = [row for row in accepted() if row not in _met]
    assert not gone, f"listed but gone: {gone}"
