"""Requests that the inner kernel seems not to have read: it does nothing, and says nothing of them.

ipykernel 7.0 to 7.3 overlooks a request that arrives at the moment in which it sends a reply, until something
else happens on that socket (ipykernel issue 1554). A new connection to it is enough. No socket here.
"""

from __future__ import annotations

#: Seconds of silence after which a request counts as overlooked; twice as many after each attempt.
_SILENCE = 0.2
#: Attempts for one silence. (ipykernel says nothing of a message that it can't understand.)
_ATTEMPTS = 6


class Unread:
    """The requests that were sent and not begun, and those that are under way. Times in seconds."""

    def __init__(self) -> None:
        self._sent: set[str] = set()
        self._running: set[str] = set()
        self._since = 0.0
        self._attempts = 0

    def sent(self, request_id: str, now: float) -> None:
        """A request was sent."""
        if not self._sent:
            self._stir(now)
        self._sent.add(request_id)

    def published(self, request_id: str, state: str, now: float) -> None:
        """The kernel said that it is "busy" with a request, or "idle" after it."""
        self._sent.discard(request_id)
        if state == "busy":
            self._running.add(request_id)
        else:
            self._running.discard(request_id)
        self._stir(now)

    def wait(self, now: float) -> float | None:
        """How long to wait for the kernel before `overlooked` is worth asking; None if it needn't be."""
        if not self._sent or self._running:
            return None
        return max(0.0, self._since + _SILENCE * (1 << self._attempts) - now)

    def overlooked(self, now: float) -> bool:
        """Whether it is time to wake the kernel."""
        if self.wait(now) != 0.0:
            return False
        self._attempts += 1
        if self._attempts == _ATTEMPTS:
            self._sent.clear()
        return True

    def _stir(self, now: float) -> None:
        self._since, self._attempts = now, 0
