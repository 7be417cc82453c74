"""A Jupyter message as the frames it travels in, read without deserialising it.

Each message of an ordinary cell is read here once, while its cell waits: that is why this module counts
microseconds.

Source: "The wire protocol" of https://jupyter-client.readthedocs.io/en/stable/messaging.html
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import zmq

#: Ends the routing identities; then: signature, header, parent header, metadata, content, buffers.
DELIMITER = b"<IDS|MSG>"
HEADER, PARENT, METADATA, CONTENT = 2, 3, 4, 5
#: As a plain integer: with the enumeration's member, a send takes three times as long.
_MORE = int(zmq.SNDMORE)
_decode = json.JSONDecoder().raw_decode

Frame = zmq.Frame | bytes
Socket = zmq.Socket[bytes]


def receive(socket: Socket) -> list[Frame]:
    """All frames of the next message.

    In place of ``recv_multipart``, which takes twice as long as it asks the socket after each frame.
    """
    frame = socket.recv(copy=False)
    frames: list[Frame] = [frame]
    while frame.more:
        frame = socket.recv(copy=False)
        frames.append(frame)
    return frames


def send(socket: Socket, frames: Sequence[Frame]) -> None:
    """Send one message; what was received isn't copied."""
    for frame in frames[:-1]:
        socket.send(frame, _MORE)
    socket.send(frames[-1])


class Message:
    """Frames, and what they say; but for the header it is parsed at the first use.

    Parameters
    ----------
    frames: all frames of one multipart message, as received

    Attributes
    ----------
    start: where the delimiter is
    header: the header
    id, type: the message's id and type

    Raises
    ------
    ValueError: this isn't a Jupyter message.
    """

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames = list(frames)
        for at, frame in enumerate(self.frames):
            if _bytes(frame) == DELIMITER:
                self.start = at
                break
        else:
            raise ValueError("no delimiter")
        if len(self.frames) < self.start + CONTENT + 1:
            raise ValueError("too few frames")
        self.header = _json(self.raw(HEADER))
        self.id = str(self.header.get("msg_id", ""))
        self.type = str(self.header.get("msg_type", ""))

    def raw(self, part: int) -> bytes:
        """The bytes of HEADER, PARENT, METADATA or CONTENT."""
        return _bytes(self.frames[self.start + part])

    @property
    def idents(self) -> list[bytes]:
        """The routing identities (on iopub: the topic)."""
        return [_bytes(frame) for frame in self.frames[: self.start]]

    @property
    def parent(self) -> dict[str, Any]:
        """The parent header; empty if there is none."""
        return _parent(self.raw(PARENT))

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The metadata."""
        return _json(self.raw(METADATA))

    @cached_property
    def content(self) -> dict[str, Any]:
        """The content."""
        return _json(self.raw(CONTENT))

    @property
    def parent_id(self) -> str:
        """The message id of the parent, or empty."""
        return str(self.parent.get("msg_id", ""))

    def signed(self, key: bytes) -> bool:
        """Whether the signature is right; always, with an empty key."""
        given = _bytes(self.frames[self.start + 1])
        return not key or hmac.compare_digest(given, self._signature(key))

    def replaced(self, part: int, value: dict[str, Any] | bytes, key: bytes) -> Message:
        """The same message with another header, parent, metadata or content, signed anew."""
        frames = list(self.frames)
        frames[self.start + part] = value if isinstance(value, bytes) else json.dumps(value).encode()
        changed = Message(frames)
        changed.frames[changed.start + 1] = changed._signature(key) if key else b""
        return changed

    def _signature(self, key: bytes) -> bytes:
        digest = _digest(key).copy()
        digest.update(b"".join(self.raw(part) for part in (HEADER, PARENT, METADATA, CONTENT)))
        return digest.hexdigest().encode()


def _bytes(frame: Frame) -> bytes:
    return frame if isinstance(frame, bytes) else frame.bytes


def _json(raw: bytes) -> dict[str, Any]:
    """A JSON object; empty if it is none. (`json.loads` would do nothing else, in twice the time.)"""
    try:
        found, _ = _decode(raw.decode(errors="replace").lstrip())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@lru_cache(maxsize=8)
def _parent(raw: bytes) -> dict[str, Any]:
    """A parent header. All that a cell says has the same one, so it is parsed once."""
    return _json(raw)


@lru_cache(maxsize=1)
def _digest(key: bytes) -> hmac.HMAC:
    """The begin of all signatures, to be copied: its set-up takes longer than the rest."""
    return hmac.new(key, digestmod=hashlib.sha256)
