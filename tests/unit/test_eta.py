"""When something will be done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganga_kernel.broker.eta import Part, counted, of_count, of_items


def told(*said: tuple[float, float, float | None]) -> dict[str, float | None]:
    """A count of which (when, done, total) was told."""
    count = None
    for at, done, total in said:
        count = counted(count, done, total, at)
    assert count is not None
    return count


def test_what_was_done_before_the_first_word_does_not_count_for_the_pace() -> None:
    assert of_count(told((100, 50, 100), (110, 60, 100))) == pytest.approx(150)


@pytest.mark.parametrize(
    "said",
    [
        [(0, 5, 10)],  # one word tells no pace
        [(0, 0, 10), (1.9, 5, 10)],  # too short
        [(0, 0, None), (10, 5, None)],  # of how much?
        [(0, 0, 10), (10, 0, 10)],  # nothing goes on
        [(0, 0, 10), (10, 10, 10)],  # it has come
        [(0, 0, 10), (10, 12, 10)],  # it has come too far
        [(0, 0, 10), (10, 9, 10), (11, 0, 10)],  # another count
        [(0, 0, 10), (10, 5, 10), (11, 5, 99)],  # another total
    ],
)
def test_a_guess_is_none(said: list[tuple[float, float, float | None]]) -> None:
    assert of_count(told(*said)) is None


_NUMBERS = st.one_of(st.integers(-(10**300), 10**300), st.floats(allow_nan=False, allow_infinity=False))
_SAID = st.tuples(st.floats(0, 1e10), _NUMBERS, st.none() | _NUMBERS)


@given(st.lists(_SAID, min_size=1))
def test_whatever_is_told_an_estimate_is_later_than_the_last_word_or_none(
    said: list[tuple[float, float, float | None]],
) -> None:
    count = told(*said)
    finish = of_count(count)
    assert (count["at"], count["done"], count["total"]) == said[-1]
    assert finish is None or finish >= said[-1][0]


@given(st.integers(1, 2000), st.integers(2, 5000), st.floats(2.5, 1e4))
def test_at_an_even_pace_it_is_exact(done: int, more: int, each: float) -> None:
    total = done + more
    assert of_count(told((7.0, 0, total), (7.0 + done * each, done, total))) == pytest.approx(
        7.0 + total * each
    )


def parts_at(now: float, items: int, slots: int, each: float) -> tuple[list[Part], list[int]]:
    """A map of items of one length, one a task, in so many slots, at some time."""
    waves = int(now // each)
    ended = min(items, waves * slots)
    running = min(slots, items - ended)
    parts = [Part(1, 0, n // slots * each, (n // slots + 1) * each) for n in range(ended)]
    parts += [Part(0, 1, waves * each, waves * each)] * running
    return parts, [1] * (items - ended - running)


@given(st.integers(1, 200), st.integers(1, 16), st.floats(2, 1e4), st.floats(0, 1))
def test_a_map_in_waves_is_done_after_its_last_wave(items: int, slots: int, each: float, part: float) -> None:
    waves = -(-items // slots)
    parts, waiting = parts_at(part * waves * each, items, slots, each)
    finish = of_items(parts, waiting)
    running = sum(bool(one.left) for one in parts)
    known = running > 0 and sum(one.ended for one in parts) >= running
    assert (finish is None) == (not known)
    if finish is not None:
        assert waves * each - each <= finish + 1e-6 and finish <= waves * each + 1e-6


def test_the_longest_task_decides() -> None:
    parts = [Part(9, 1, 0.0, 90.0), Part(5, 20, 0.0, 50.0)]
    assert of_items(parts) == pytest.approx(90 + 20 * 10 - 10)


@given(st.lists(st.builds(Part, st.integers(0, 9), st.integers(0, 9), st.floats(0, 1e9), st.floats(0, 1e9))))
def test_clocks_may_tell_anything(parts: list[Part]) -> None:
    finish = of_items(parts, [3])
    assert finish is None or finish >= max(part.at for part in parts)
