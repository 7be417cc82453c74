"""Tagging a cell changes where it runs, and nothing else: random notebooks, on the Local backend."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies as st

from tests.equivalence.play import play
from tests.harness import Kernel

#: Each cell begins with some names bound; what a statement does with one that isn't there is an error, the same
#: in both runs.
_START = """
class Box:
    def __init__(self, value): self.value = value
    def put(self, value): self.value = value; return self
def grow(things): things.append(len(things)); return things
a, b, c = [1], [2, 3], {'k': [0]}
n, box = 1, Box(a)
"""
_LISTS = st.sampled_from(["a", "b", "c['k']", "box.value"])
_WHOLE = st.sampled_from(["a", "b", "box", "c"])
_NAMES = st.sampled_from(["a", "b", "n", "fresh"])
_STATEMENTS = st.one_of(
    st.builds("{0} = {1}".format, _NAMES, _WHOLE),
    st.builds("{0} = list({1})".format, _NAMES, _LISTS),
    st.builds("{0}.append({1})".format, _LISTS, st.integers(0, 9)),
    st.builds("{0}[0] = {1}".format, _LISTS, st.integers(0, 9)),
    st.builds("{0} += [{1}]".format, _LISTS, st.integers(0, 9)),
    st.builds("grow({0})".format, _LISTS),
    st.builds("box.put({0})".format, _LISTS),
    st.builds("del {0}".format, _NAMES),
    st.builds("n = len({0}) + 1".format, _LISTS),
    st.builds("for i in range({0}): n = n + i".format, st.integers(0, 3)),
    st.builds("def f(x): return (x, n, {0})".format, _WHOLE),
    st.builds("fresh = f(n)".format),
    st.builds("print({0}, n)".format, _LISTS),
    st.builds("if n > 2: {0} = n".format, _NAMES),
    st.builds("{0}, n".format, _LISTS),
    st.builds("assert n < {0}, n".format, st.integers(0, 9)),
)
_CELLS = st.lists(st.lists(_STATEMENTS, min_size=1, max_size=3).map("\n".join), min_size=1, max_size=5)


@hypothesis.settings(
    max_examples=6, phases=(hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate),
    suppress_health_check=list(hypothesis.HealthCheck),
)  # fmt: skip
@hypothesis.given(_CELLS, st.randoms(use_true_random=False))
def test_tags_change_nothing(kernel: Kernel, cells: list[str], random: object) -> None:
    cells = [_START, *cells]
    tagged = [number for number in range(len(cells)) if random.random() < 0.6]  # type: ignore[attr-defined]
    untagged = play(kernel, cells, ())
    with_tags = play(kernel, cells, tagged)
    assert with_tags.outputs == untagged.outputs, (cells, tagged)
    assert with_tags.namespace == untagged.namespace, (cells, tagged)
