"""Messages as they are on the wire: unknown, malformed, repeated ones, and clients that come and go."""

from __future__ import annotations

from typing import Any

import zmq

from tests.transparent.stage import Stage, check
from tests.transparent.talk import Client, idle, settle


@check()
def unknown_messages(stage: Stage, a: Client) -> None:
    for channel in ("shell", "control"):
        idle(a, a.send("no_such_request", {"x": 1}, channel=channel))
    idle(a, a.send("debug_request", {"x": 1}))
    idle(a, a.send("input_reply", {"value": 1}))
    a.run("'after'")


@check()
def requests_that_lack_something(stage: Stage, a: Client) -> None:
    idle(a, a.send("execute_request", {}))
    idle(a, a.send("execute_request", {"silent": True}))
    for kind in (
        "complete_request",
        "inspect_request",
        "history_request",
        "is_complete_request",
        "comm_open",
        "comm_msg",
        "comm_close",
    ):
        idle(a, a.send(kind, {}))
    idle(a, a.send("shutdown_request", {}, channel="control"))
    for kind in ("interrupt_request", "delete_subshell_request", "debug_request"):
        idle(a, a.send(kind, {}, channel="control"))
    for code in (None, 3, ["1"], {"a": 1}):
        one = a.send("execute_request", {"code": code, "silent": False})
        idle(a, one)
        settle(a)
    a.run("'after'")


@check()
def contents_of_the_wrong_kind(stage: Stage, a: Client) -> None:
    for kind in ("execute_request", "kernel_info_request"):
        for content in (b"[]", b'"text"', b"1", b"null"):
            header = a.session.pack(a.session.msg_header(kind))
            a.sockets["shell"].send_multipart(a.signed(header, b"{}", b"{}", content))
            settle(a)
    for metadata in ({"tags": None}, {"tags": 3}):
        a.run("1", metadata=metadata)
    for odd in (b"[]", b"null", b'"x"', b"{"):
        header = a.session.pack(a.session.msg_header("execute_request"))
        a.sockets["shell"].send_multipart(a.signed(header, b"{}", odd, b'{"code": "print(1)"}'))
        settle(a)
    a.run("'after'")


@check(without=("stream",))  # ipykernel may print what it thinks of them
def malformed_messages_are_ignored(stage: Stage, a: Client) -> None:
    for channel in ("shell", "control", "stdin"):
        socket = a.sockets[channel]
        good = a.session.serialize(a.session.msg("execute_request", {"code": "print('never')"}))
        bad = [good[0], b"0" * 64, *good[2:]]
        for frames in (
            [b""], [b"hello"], [b"<IDS|MSG>"], [b"<IDS|MSG>", b""], good[:4], [b"<IDS|MSG>", *[b"{}"] * 5], bad, bad[:-1],
            [good[0], b"", *good[2:]], [b"<IDS|MSG>", b"x", b"not json", b"{", b"[]", b"\xff"], good[1:],
        ):  # fmt: skip
            socket.send_multipart(frames)
    for header in (
        b"not json",
        b"[]",
        b"{}",
        b"null",
        b'{"msg_type": 3}',
        b'{"msg_type": "execute_request"}',
    ):
        a.sockets["shell"].send_multipart(a.signed(header, b"{}", b"{}", b'{"code": "print(1)"}'))
        settle(a)
    a.run("'after'")
    a.ask("kernel_info_request", {}, channel="control")


@check()
def a_repeated_message_is_ignored(stage: Stage, a: Client) -> None:
    for kind, content in (("execute_request", {"code": "print('once')"}), ("kernel_info_request", {})):
        message = a.session.msg(kind, content)
        frames = a.session.serialize(message)
        for _ in range(2):
            a.sockets["shell"].send_multipart(frames)
            settle(a)
    a.run("'after'")


@check()
def messages_with_buffers_and_extras(stage: Stage, a: Client) -> None:
    one = a.send(
        "execute_request",
        {"code": "len(get_ipython().kernel.get_parent()['buffers'])"},
        buffers=[b"x", b"y" * 100000],
    )
    a.finish(one)
    two = a.send(
        "execute_request",
        {"code": "get_ipython().kernel.get_parent()['header']['extra']"},
        header={"extra": {"deep": [1]}},
    )
    a.finish(two)


@check()
def welcome(stage: Stage, a: Client) -> None:
    b = stage.client(topic=b"stream")
    c = stage.client(topic=b"kernel.")
    one = a.run("print('to the stream'); 5")
    for client in (b, c):
        client.listen(0.1)
    stage.note(one.text)


@check()
def heartbeat(stage: Stage, a: Client) -> None:
    context = zmq.Context()
    address = f"tcp://{stage.connection['ip']}:{stage.connection['hb_port']}"
    for kind in (zmq.REQ, zmq.DEALER):
        socket = context.socket(kind)
        socket.linger = 0
        socket.connect(address)
        busy = a.execute("import time; time.sleep(0.3)")
        for frames in ([b"ping"], [b""], [b"x" * 1_000_000], [b"a", b"b", b""]):
            socket.send_multipart(frames)
            stage.note(socket.recv_multipart() == frames if socket.poll(5000) else "no answer")
        a.finish(busy)
    context.destroy(linger=0)


@check()
def a_client_that_comes_back_with_its_identity(stage: Stage, a: Client) -> None:
    """As a server does when the browser's page is loaded again."""
    b = stage.client(identity=b"the-same")
    b.run("1")
    stage.note([one.type for one in b.log if one.channel == "shell"])
    b.close()
    stage.clients.remove(b)
    c = stage.client(identity=b"the-same")
    asking = c.execute("input('still there? ')", allow_stdin=True)
    c.answer(c.prompt(), "yes")
    c.finish(asking)


@check()
def a_client_that_leaves_is_not_missed(stage: Stage, a: Client) -> None:
    b = stage.client()
    one = b.execute(f"{stage.gate}; print('nobody listens')")
    two = b.execute("input('nobody? ')", allow_stdin=False, stop_on_error=False)
    b.until(lambda: "busy" in one.states)
    stage.clients.remove(b)
    b.close()
    stage.open_gate()
    a.until(lambda: {one.id, two.id} <= {heard.parent for heard in a.log if "idle" in heard.content.values()})
    a.run("'after'")


@check()
def one_session_for_all(stage: Stage, a: Client) -> None:
    a.run("print(1); 2")
    a.ask("kernel_info_request", {}, channel="control")
    a.ask("interrupt_request", {}, channel="control")
    stage.note(len({heard.message["header"]["session"] for heard in a.log}))
    topics = {part.split(b".")[1] for heard in a.log for part in heard.topic if part.startswith(b"kernel.")}
    stage.note(f"kernels in topics: {len(topics)}")


@check()
def odd_messages_that_a_cell_publishes(stage: Stage, a: Client) -> None:
    a.run(
        "kernel = get_ipython().kernel\ndef publish(*args): kernel.session.send(kernel.iopub_socket, *args, parent=kernel.get_parent())"
    )
    for kind, content in (
        ("execute_input", {"execution_count": None}), ("status", {}), ("status", {"execution_state": ["x"]}), ("stream", {}),
        ("comm_msg", {"comm_id": ["x"]}), ("comm_close", {}), ("iopub_welcome", {}), ("own_type", {"a": [1]}), ("execute_reply", {"status": None}),
        ("kernel_info_reply", {}),
    ):  # fmt: skip
        a.run(f"publish({kind!r}, {content!r})")
    a.run(
        "kernel.session.send(kernel.iopub_socket, 'own_type', {}, parent={}, ident=b'topic', metadata={'m': 1}, buffers=[b'b'])\nimport time; time.sleep(0.1)"
    )
    a.run("kernel.iopub_socket.send_multipart([b'no', b'message']); time.sleep(0.1)")


@check(without=("stream",))
def odd_comm_messages(stage: Stage, a: Client) -> None:
    odds: list[dict[str, Any]] = [{}, {"comm_id": None}, {"comm_id": 3}, {"comm_id": ["x"]}, {"comm_id": {}}]
    for odd in odds:
        for kind in ("comm_open", "comm_msg", "comm_close"):
            a.send(kind, odd)
            settle(a)
    a.ask("comm_info_request", {"target_name": ["x"]})
    a.run("'after'")
