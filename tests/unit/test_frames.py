"""Messages as frames: moved untouched, read as jupyter_client reads them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import zmq
from jupyter_client.session import Session

from ganga_kernel.frames import CONTENT, Message, Socket, receive, send

KEY = b"a key"


@pytest.fixture
def pair() -> Iterator[tuple[Socket, Socket]]:
    with zmq.Context() as context, context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as other:
        one.bind("inproc://pair")
        other.connect("inproc://pair")
        yield one, other


def message(content: dict[str, object], *idents: bytes, buffers: list[bytes] | None = None) -> list[bytes]:
    session = Session(key=KEY)
    return [*idents, *session.serialize(session.msg("execute_request", content)), *(buffers or [])]


def test_all_frames_arrive_as_they_were_sent(pair: tuple[Socket, Socket]) -> None:
    frames = message({"code": "1"}, b"", b"\x00\xff", buffers=[b"", b"x" * 1_000_000])
    one, other = pair
    for _ in range(2):
        one.send_multipart(frames)
        received = receive(other)
        assert [bytes(frame) for frame in received] == frames
        send(other, received)
        assert one.recv_multipart() == frames
    assert not one.poll(0) and not other.poll(0)


def test_a_signature_is_checked_as_jupyter_client_makes_it() -> None:
    frames = message({"code": "1"}, b"ident")
    assert Message(frames).signed(KEY)
    assert not Message(frames).signed(b"another key")
    assert Message(frames).signed(b"")
    frames[-1] = frames[-1].replace(b"1", b"2")
    assert not Message(frames).signed(KEY)


def test_a_replaced_part_is_signed_anew() -> None:
    changed = Message(message({"code": "1"})).replaced(CONTENT, {"code": "2"}, KEY)
    assert changed.signed(KEY)
    assert changed.content == {"code": "2"}


@pytest.mark.parametrize(
    ("raw", "content"),
    [
        (b' {"code": "1"}\n', {"code": "1"}),
        ('{"code": "é"}'.encode("latin-1"), {"code": "\ufffd"}),
        (b"[1]", {}),
        (b"", {}),
        (b"{", {}),
        (b"[" * 100_000, {}),
    ],
)
def test_content_is_read_if_it_is_an_object(raw: bytes, content: dict[str, str]) -> None:
    assert Message([*message({})[:-1], raw]).content == content


def test_what_is_no_message_is_refused() -> None:
    for frames in ([b"GET / HTTP/1.1"], message({})[:-1]):
        with pytest.raises(ValueError, match=r"delimiter|too few"):
            Message(frames)
