"""Which requests the inner kernel owes an answer, in the order in which they were sent to it.

ipykernel goes idle on some requests without a reply: on one that lacks something, for example, or when an
interrupt comes between a cell's end and its reply. Reply and idle travel on different channels, so an idle
alone doesn't prove that no reply is on its way. But replies come in order: one to a later request does.
No socket here.
"""

from __future__ import annotations


class Owed:
    """The requests sent to the main shell that no reply was heard to."""

    def __init__(self) -> None:
        self._idle: dict[str, bool] = {}

    def sent(self, request_id: str) -> None:
        """A request was sent."""
        self._idle[request_id] = False

    def went_idle(self, request_id: str) -> None:
        """The idle of a request was heard; also of one that was answered, or not sent to that shell."""
        if request_id in self._idle:
            self._idle[request_id] = True

    def answered(self, request_id: str) -> list[str]:
        """A reply was heard. Returns the requests before that one, which will never be answered."""
        if request_id not in self._idle:
            return []
        sent = list(self._idle)
        earlier = sent[: sent.index(request_id)]
        for settled in (*earlier, request_id):
            del self._idle[settled]
        return earlier

    @property
    def doubtful(self) -> bool:
        """Whether the last request is idle and not answered: only one more request can tell if it will be."""
        return bool(self._idle) and next(reversed(self._idle.values()))
