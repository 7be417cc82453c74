"""Tagging a cell changes where it runs, and nothing else: random notebooks, on Local and a few on HTCondor.

More of them: ``GANGA_KERNEL_EXAMPLES=300 make equivalence``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.equivalence.play import play
from tests.harness import Kernel

#: What a statement does with a name that isn't there is an error, the same in both runs.
_START = """
import numpy as np
class Box:
    def __init__(self, value): self.value = value
    def put(self, value): self.value = value; return self
    def grow(self): self.value.append(len(self.value)); return self
def grow(things): things.append(len(things)); return things
def counter():
    kept, m = [0], 0
    def step():
        nonlocal m
        m += 1
        kept.append(m)
        return kept
    return step
a, b, c = [1], [2, 3], {'k': [0]}
n, box = 1, Box(a)
step = counter()
arr = np.arange(6)
view = arr[1:4]
"""
_DIGIT = st.integers(0, 9)
_LISTS = st.sampled_from(["a", "b", "c['k']", "box.value"])
_WHOLE = st.sampled_from(["a", "b", "box", "c", "arr", "view", "step"])
_NAMES = st.sampled_from(["a", "b", "c", "n", "fresh"])
_ARRAYS = st.sampled_from(["arr", "view", "arr[2:]"])
_FORMS: list[tuple[str, tuple[st.SearchStrategy[Any], ...]]] = [
    ("{} = {}", (_NAMES, _WHOLE)), ("{} = list({})", (_NAMES, _LISTS)), ("{}.append({})", (_LISTS, _DIGIT)),
    ("{}[0] = {}", (_LISTS, _DIGIT)), ("{} += [{}]", (_LISTS, _DIGIT)), ("grow({})", (_LISTS,)),
    ("box.put({})", (_LISTS,)), ("box.grow()", ()), ("fresh = box.grow().value", ()), ("del {}", (_NAMES,)),
    ("n = len({}) + 1", (_LISTS,)), ("for i in range({}): n = n + i", (st.integers(0, 3),)),
    ("def f(x): return (x, n, {})", (_WHOLE,)), ("fresh = f(n)", ()), ("print({}, n)", (_LISTS,)),
    ("if n > 2: {} = n", (_NAMES,)), ("{}, n", (_LISTS,)), ("assert n < {}, n", (_DIGIT,)),
    ("{} = [{}, {}]", (_NAMES, _WHOLE, _WHOLE)), ("c['z'] = {}", (_WHOLE,)), ("{} = c.pop('k')", (_NAMES,)),
    ("step()", ()), ("fresh = step()", ()), ("fresh = step", ()), ("{}[0] = {}", (_ARRAYS, _DIGIT)),
    ("view = arr[{}:{}]", (st.integers(0, 2), st.integers(3, 6))), ("arr *= {}", (_DIGIT,)), ("view += 1", ()),
    ("arr.sort()", ()), ("arr = arr + 1", ()), ("view = arr.reshape(2, 3)[:, 1]", ()),
    ("print({0}.sum(), {0}.tolist())", (_ARRAYS,)), ("{} = Box({})", (_NAMES, _LISTS)),
    ("[q.append({}) for q in [{}, {}]]", (_DIGIT, _LISTS, _LISTS)), ("(seen := {})", (_WHOLE,)), ("seen", ()),
    ("try:\n    {0}.append(1 // {1})\nexcept ZeroDivisionError: {0}.append('z')", (_LISTS, st.integers(0, 1))),
    ("class Sub(Box):\n    extra = {}\n    def put(self, v): self.extra.append(v); return self", (_WHOLE,)),
    ("box = Sub(a)", ()), ("fresh = lambda v: {}.append(v)", (_LISTS,)), ("fresh({})", (_DIGIT,)),
    ("print(a is b, box.value is a, c.get('k') is a)", ()),
    ("def g():\n    global n, b\n    n = n + 1\n    b = {}", (_LISTS,)), ("g()", ()),
    ("def h(v, acc={}): acc.append(v); return acc", (_WHOLE,)), ("fresh = h({})", (_DIGIT,)),
    ("a, *b = {}", (_LISTS,)), ("c = dict(c, new={})", (_WHOLE,)), ("setattr(box, 'value', {})", (_LISTS,)),
    ("with open('/dev/null') as z: {}.append(z.read())\ndel z", (_LISTS,)), ("fresh = sorted({}, key=str)", (_LISTS,)),
]  # fmt: skip
_STATEMENTS = st.one_of(*(st.builds(form.format, *holes) for form, holes in _FORMS))
_CELLS = st.lists(st.lists(_STATEMENTS, min_size=1, max_size=3).map("\n".join), min_size=1, max_size=6)
_PHASES = (hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate)
_EXAMPLES = int(os.environ.get("GANGA_KERNEL_EXAMPLES", "10"))
_SETTINGS = hypothesis.settings(
    max_examples=_EXAMPLES, phases=_PHASES, suppress_health_check=list(hypothesis.HealthCheck),
)  # fmt: skip


@pytest.mark.timeout(120 + 30 * _EXAMPLES)
@pytest.mark.parametrize("kernel", ["Local"], indirect=True)
@_SETTINGS
@hypothesis.given(_CELLS, st.randoms(use_true_random=False))
def test_tags_change_nothing(kernel: Kernel, cells: list[str], random: Any) -> None:
    _compare(kernel, cells, random)


@pytest.mark.parametrize("kernel", ["HTCondor"], indirect=True)
@hypothesis.settings(_SETTINGS, max_examples=2)
@hypothesis.given(_CELLS, st.randoms(use_true_random=False))
def test_tags_change_nothing_on_htcondor(kernel: Kernel, cells: list[str], random: Any) -> None:
    _compare(kernel, cells, random)


def _compare(kernel: Kernel, cells: list[str], random: Any) -> None:
    cells = [_START, *cells]
    tagged = [number for number in range(len(cells)) if random.random() < 0.6]
    untagged = play(kernel, cells, ())
    failing = [number for number in tagged if _failed(untagged.outputs[number])]
    if failing:  # what a failed job has done before its error stays there: what follows differs
        cells = cells[: failing[0] + 1]
    with_tags = play(kernel, cells, [number for number in tagged if number < len(cells)])
    assert with_tags.outputs == untagged.outputs[: len(cells)], (cells, tagged)
    if not failing:
        assert with_tags.namespace == untagged.namespace, (cells, tagged)


def _failed(outputs: Sequence[Any]) -> bool:
    return any(output[0] == "error" for output in outputs)
