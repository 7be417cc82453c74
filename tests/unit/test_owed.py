"""Which requests the inner kernel owes an answer."""

from __future__ import annotations

from ganga_kernel.owed import Owed


def sent(*ids: str) -> Owed:
    owed = Owed()
    for request_id in ids:
        owed.sent(request_id)
    return owed


def test_a_reply_proves_that_earlier_requests_are_never_answered() -> None:
    owed = sent("a", "b", "c", "d")
    assert owed.answered("a") == []
    assert owed.answered("c") == ["b"]
    assert owed.answered("b") == owed.answered("another's") == []
    assert owed.answered("d") == []


def test_only_an_idle_of_the_last_request_is_doubtful() -> None:
    owed = sent("a", "b")
    owed.went_idle("a")
    assert not owed.doubtful  # b's reply will tell
    owed.went_idle("b")
    assert owed.doubtful
    owed.sent("c")
    assert not owed.doubtful
    owed.answered("c")
    owed.went_idle("c")
    assert not owed.doubtful
