"""When the inner kernel counts as having overlooked a request."""

from __future__ import annotations

import itertools

from ganga_kernel.unread import Unread


def test_a_request_that_is_begun_was_not_overlooked() -> None:
    unread = Unread()
    unread.sent("a", 1.0)
    assert unread.wait(1.0) is not None and not unread.overlooked(1.1)
    unread.published("a", "busy", 1.1)
    unread.sent("b", 1.2)  # waits for a, however long that takes
    assert unread.wait(100.0) is None and not unread.overlooked(100.0)
    unread.published("a", "idle", 100.0)
    assert not unread.overlooked(100.1) and unread.overlooked(100.3)
    unread.published("b", "busy", 100.4)
    unread.published("b", "idle", 100.5)
    assert unread.wait(100.5) is None


def test_a_silent_kernel_is_woken_less_and_less_often_and_not_for_ever() -> None:
    unread = Unread()
    unread.sent("a", 0.0)
    woken = [tick for tick in range(1000) if unread.overlooked(tick / 10)]
    assert len(woken) == 6
    gaps = [later - earlier for earlier, later in itertools.pairwise(woken)]
    assert gaps == sorted(gaps)
    assert unread.wait(1000.0) is None
