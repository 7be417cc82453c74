"""Comms, with and without subshells; and what else subshells do."""

from __future__ import annotations

from tests.transparent.stage import Stage, check
from tests.transparent.talk import Client, idle, settle

# ---------------------------------------------------------------------- comms


COMM = """
from comm import create_comm
heard = []
def opened(comm, message):
    heard.append((message['content'], message['metadata'], [bytes(b) for b in message['buffers']]))
    @comm.on_msg
    def _(message):
        heard.append((message['content'], message['metadata'], [bytes(b) for b in message['buffers']]))
        comm.send({'echo': message['content']['data']}, {'meta': 1}, [bytes(b)[::-1] for b in message['buffers']])
    comm.on_close(lambda message: heard.append(('closed', message['content'])))
    comm.send({'welcome': 1}, buffers=[b'w', memoryview(b'view')])
get_ipython().kernel.comm_manager.register_target('echo', opened)
"""


@check()
def comms_opened_by_the_front_end(stage: Stage, a: Client) -> None:
    a.run(COMM)
    idle(
        a,
        a.send(
            "comm_open",
            {"comm_id": "c1", "target_name": "echo", "data": {"x": 1}},
            metadata={"m": 1},
            buffers=[b"open"],
        ),
    )
    idle(
        a,
        a.send(
            "comm_msg", {"comm_id": "c1", "data": {"n": [1, None, "é"]}}, buffers=[b"", b"\x00\x01" * 1000]
        ),
    )
    a.ask("comm_info_request", {})
    a.ask("comm_info_request", {"target_name": "echo"})
    a.ask("comm_info_request", {"target_name": "other"})
    idle(a, a.send("comm_close", {"comm_id": "c1", "data": {"bye": 1}}))
    a.ask("comm_info_request", {})
    idle(a, a.send("comm_msg", {"comm_id": "c1", "data": {}}))
    idle(a, a.send("comm_open", {"comm_id": "c2", "target_name": "nobody's", "data": {}}))
    idle(a, a.send("comm_msg", {"comm_id": "never opened", "data": {}}))
    idle(a, a.send("comm_close", {"comm_id": "never opened", "data": {}}))
    a.run("heard")


@check()
def comms_opened_by_the_kernel(stage: Stage, a: Client) -> None:
    a.run(COMM)
    a.run(
        "comm = create_comm('front', {'d': 1}, {'m': 2}, [b'one', bytes(3)], 'k1'); comm.on_msg(lambda m: print('got', m['content']['data'], len(m['buffers'])))"
    )
    a.run("comm.send({'x': float('inf') > 1}, buffers=[b'b'])")
    idle(a, a.send("comm_msg", {"comm_id": "k1", "data": {"y": 2}}, buffers=[b"12", b"3"]))
    a.ask("comm_info_request", {})
    a.run("comm.close({'end': 1})")
    a.ask("comm_info_request", {})


@check()
def widgets(stage: Stage, a: Client) -> None:
    a.run(
        "try:\n    import ipywidgets\nexcept ImportError:\n    print('none')\nelse:\n    w = ipywidgets.IntSlider(); display(w)"
    )


@check()
def comm_messages_while_a_cell_runs(stage: Stage, a: Client) -> None:
    a.run(COMM)
    idle(a, a.send("comm_open", {"comm_id": "c1", "target_name": "echo", "data": {}}))
    busy = a.execute(f"print('begun', flush=True); {stage.gate}; print(len(heard))")
    a.until(lambda: "begun" in busy.text)
    message = a.send("comm_msg", {"comm_id": "c1", "data": {"late": 1}})
    stage.open_gate()
    a.finish(busy)
    idle(a, message)


@check(ordered=False)
def comm_messages_while_an_async_cell_waits_for_them(stage: Stage, a: Client) -> None:
    a.run(
        "import asyncio\ngot = asyncio.Event()\ndef opened(comm, m): comm.on_msg(lambda m: got.set())\nget_ipython().kernel.comm_manager.register_target('wake', opened)"
    )
    idle(a, a.send("comm_open", {"comm_id": "c1", "target_name": "wake", "data": {}}))
    busy = a.execute("print('begun', flush=True); await asyncio.wait_for(got.wait(), 10); 'woken'")
    a.until(lambda: "begun" in busy.text)
    a.send("comm_msg", {"comm_id": "c1", "data": {}})
    a.finish(busy)


# ---------------------------------------------------------------------- subshells


def new_subshell(a: Client) -> str:
    return str(a.ask("create_subshell_request", {}, channel="control").reply["subshell_id"])


@check()
def subshells_are_made_listed_and_deleted(stage: Stage, a: Client) -> None:
    a.ask("list_subshell_request", {}, channel="control")
    one, two = new_subshell(a), new_subshell(a)
    stage.note(len(a.ask("list_subshell_request", {}, channel="control").reply["subshell_id"]))
    for subshell in (one, two, one, "no such"):
        a.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")
    a.ask("list_subshell_request", {}, channel="control")


@check(ordered=False)
def a_subshell_works_while_the_main_shell_is_busy(stage: Stage, a: Client) -> None:
    subshell = new_subshell(a)
    busy = a.execute(f"print('begun', flush=True); {stage.gate}")
    a.until(lambda: "begun" in busy.text)
    a.run("x = 5; print('in the subshell'); x + 1", subshell=subshell)
    a.run("1 / 0", subshell=subshell)
    a.ask("complete_request", {"code": "tim", "cursor_pos": 3}, header={"subshell_id": subshell})
    a.ask("kernel_info_request", {}, header={"subshell_id": subshell})
    a.run("%subshell", subshell=subshell)
    stage.note(busy.idle)
    stage.open_gate()
    a.finish(busy)
    a.run("x")
    a.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")


@check(ordered=False)
def an_aborted_queue_of_a_subshell(stage: Stage, a: Client) -> None:
    subshell = new_subshell(a)
    cells = [
        a.execute(f"print('begun', flush=True); {stage.gate}; 1 / 0", subshell=subshell),
        a.execute("'never'", subshell=subshell),
    ]
    a.until(lambda: "begun" in cells[0].text)
    cells.append(a.execute("'in the main shell'"))
    stage.open_gate()
    for one in cells:
        a.finish(one)
    a.run("'after'", subshell=subshell)
    a.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")


@check()
def comm_messages_in_a_subshell(stage: Stage, a: Client) -> None:
    a.run(COMM)
    subshell = new_subshell(a)
    header = {"subshell_id": subshell}
    idle(a, a.send("comm_open", {"comm_id": "c1", "target_name": "echo", "data": {}}, header=header))
    idle(a, a.send("comm_msg", {"comm_id": "c1", "data": {"x": 1}}, header=header, buffers=[b"abc"]))
    idle(a, a.send("comm_close", {"comm_id": "c1", "data": {}}, header=header))
    a.run("heard")
    a.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")


@check()
def an_unknown_subshell(stage: Stage, a: Client) -> None:
    header = {"subshell_id": "no such"}
    a.run("1", subshell="no such")
    a.ask("kernel_info_request", {}, header=header)
    a.send("comm_msg", {"comm_id": "c1", "data": {}}, header=header)
    settle(a)
    a.run("'after'")
    a.ask("kernel_info_request", {}, header={"subshell_id": None})
    a.finish(a.send("execute_request", {"code": "5"}, header={"subshell_id": None}))


@check(ordered=False)
def input_in_a_subshell(stage: Stage, a: Client) -> None:
    subshell = new_subshell(a)
    asking = a.execute("input('sub? ')", subshell=subshell, allow_stdin=True)
    a.answer(a.prompt(), "yes")
    a.finish(asking)
    a.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")
