"""Ordinary cells can't tell the difference: what is heard is what plain ipykernel says.

Each check of `checks` is played at the same time against plain ipykernel, against ours, and against ours
while a name is pending. All that clients hear is compared; what may differ is listed in
docs/differences.md, with reasons.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.transparent import checks  # noqa: F401
from tests.transparent.compare import Row, accepted, differences
from tests.transparent.stage import CHECKS, Theatre, grid_answers, play

_KINDS = ("plain", "idle", "pending")

_met: set[Row] = set()
_played: set[str] = set()


def names(own: bool) -> list[str]:
    return [name for name, one in CHECKS.items() if one.own == own]


def compare(theatre: Theatre, name: str, kinds: tuple[str, ...]) -> None:
    one = CHECKS[name]
    kernels = {kind: theatre.kernel(kind) for kind in kinds}
    with ThreadPoolExecutor(len(kinds)) as pool:
        playing = {
            kind: pool.submit(play, kernel, one, kind == "pending") for kind, kernel in kernels.items()
        }
    failures = [f"{kind}: {error!r}" for kind, future in playing.items() if (error := future.exception())]
    if not failures and not one.own:
        failures = [
            f"{kind}: a cell of the grid kernel, which waits for all before it, hangs"
            for kind in kinds[1:]
            if not grid_answers(kernels[kind])
        ]
    if failures or one.own:
        theatre.close()  # all: a kernel's past must not tell them apart
    assert not failures, "\n".join(failures)
    for kind in kinds[1:]:
        for found in differences(playing["plain"].result(), playing[kind].result()):
            covering = [row for row in accepted() if row.covers(name, kind, found)]
            _met.update(covering)
            if not covering:
                failures.append(f"{kind}: {found}")
    _played.add(name)
    assert not failures, "\n".join(failures[:12])


@pytest.mark.parametrize("name", names(own=False))
def test_same(theatre: Theatre, name: str) -> None:
    compare(theatre, name, _KINDS)


@pytest.mark.parametrize("name", names(own=True))
def test_same_end(theatre: Theatre, name: str) -> None:
    theatre.close()
    compare(theatre, name, _KINDS[:2])


def test_every_listed_difference_exists() -> None:
    if {*CHECKS} - _played:
        pytest.skip("not all checks were played")
    gone = [row for row in accepted() if row not in _met]
    assert not gone, f"listed but gone: {gone}"
