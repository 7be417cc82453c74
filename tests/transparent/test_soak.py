"""A short soak; see `soak` for the long one."""

from __future__ import annotations

from tests.transparent.soak import soak


def test_nothing_is_lost_or_doubled() -> None:
    report = soak(messages=400, seed=7)
    assert not report.wrong, str(report)
    assert report.sent.total() >= 400
