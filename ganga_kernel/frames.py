"""A Jupyter message as the frames it travels in, read without deserialising it.

Source: "The wire protocol" of https://jupyter-client.readthedocs.io/en/stable/messaging.html
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import zmq

#: Ends the routing identities; then: signature, header, parent header, metadata, content, buffers.
DELIMITER = b"<IDS|MSG>"
HEADER, PARENT, METADATA, CONTENT = 2, 3, 4, 5


class Message:
    """Frames, and what they say, parsed at the first use.

    Parameters
    ----------
    frames: all frames of one multipart message, as received

    Raises
    ------
    ValueError: this isn't a Jupyter message.
    """

    def __init__(self, frames: Sequence[zmq.Frame | bytes]) -> None:
        self.frames = list(frames)
        for at, frame in enumerate(self.frames):
            if _bytes(frame) == DELIMITER:
                self.start = at
                break
        else:
            raise ValueError("no delimiter")
        if len(self.frames) < self.start + CONTENT + 1:
            raise ValueError("too few frames")

    def raw(self, part: int) -> bytes:
        """The bytes of HEADER, PARENT, METADATA or CONTENT."""
        return _bytes(self.frames[self.start + part])

    @property
    def idents(self) -> list[bytes]:
        """The routing identities (on iopub: the topic)."""
        return [_bytes(frame) for frame in self.frames[: self.start]]

    @cached_property
    def header(self) -> dict[str, Any]:
        """The header."""
        return _json(self.raw(HEADER))

    @cached_property
    def parent(self) -> dict[str, Any]:
        """The parent header; empty if there is none."""
        return _json(self.raw(PARENT))

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The metadata."""
        return _json(self.raw(METADATA))

    @cached_property
    def content(self) -> dict[str, Any]:
        """The content."""
        return _json(self.raw(CONTENT))

    @property
    def id(self) -> str:
        """The message id."""
        return str(self.header.get("msg_id", ""))

    @property
    def type(self) -> str:
        """The message type."""
        return str(self.header.get("msg_type", ""))

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
        digest = hmac.new(key, digestmod=hashlib.sha256)
        for part in (HEADER, PARENT, METADATA, CONTENT):
            digest.update(self.raw(part))
        return digest.hexdigest().encode()


def _bytes(frame: zmq.Frame | bytes) -> bytes:
    return frame if isinstance(frame, bytes) else frame.bytes


def _json(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
