"""Tagging a cell changes where it runs, and nothing else: written notebooks, on Local and on HTCondor."""

from __future__ import annotations

import random

import pytest

from tests.equivalence.notebooks import MAPS, NOTEBOOKS
from tests.equivalence.play import play
from tests.harness import Kernel


@pytest.mark.parametrize("name", NOTEBOOKS)
@pytest.mark.parametrize("which", ["all", "some"])
def test_tags_change_nothing(kernel: Kernel, name: str, which: str) -> None:
    cells = NOTEBOOKS[name]
    numbers = range(len(cells))
    tagged = list(numbers) if which == "all" else random.Random(name).sample(numbers, len(cells) // 2)
    untagged = play(kernel, cells, ())
    with_tags = play(kernel, cells, tagged)
    assert with_tags.outputs == untagged.outputs
    assert with_tags.namespace == untagged.namespace


@pytest.mark.parametrize("name", MAPS)
def test_a_map_leaves_what_a_loop_does(kernel: Kernel, name: str) -> None:
    loops, maps = ([cell if isinstance(cell, str) else cell[k] for cell in MAPS[name]] for k in (0, 1))
    looped = play(kernel, loops, ())
    mapped = play(kernel, maps, ())
    assert mapped.outputs == looped.outputs
    assert mapped.namespace == looped.namespace
