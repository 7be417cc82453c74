"""Requests that run no cell."""

from __future__ import annotations

from tests.transparent.stage import Stage, check
from tests.transparent.talk import Client, idle, settle


def complete(a: Client, code: str, at: int) -> None:
    """Ask for completions; ipykernel 6 doesn't answer where the cursor is outside of the code."""
    idle(a, a.send("complete_request", {"code": code, "cursor_pos": at}))
    settle(a)


@check()
def completions(stage: Stage, a: Client) -> None:
    # By default IPython gives up to tell types after 0.4 s: what comes back depends on the machine's load.
    a.run("wavelength = {'key': 1}; import os; get_ipython().Completer.jedi_compute_type_timeout = 60_000")
    for code, at in (("wavel", 5), ("wavelength['", 12), ("os.pat", 6), ("%ti", 3), ("%%ti", 4), ("import js", 9), ("é.x", 1), ("wavel + 1", 5), ("print(wavel", 11), ("open('/et", 9), ("!t", 2)):  # fmt: skip
        complete(a, code, at)


@check()
def completion_of_our_magics(stage: Stage, a: Client) -> None:
    complete(a, "x", 99)
    for code in ("%", "%%", "%ba", ""):
        complete(a, code, len(code))


@check()
def inspections(stage: Stage, a: Client) -> None:
    a.run("def described(x: int) -> str:\n    'Its docstring.'\n    return str(x)\nvalue = 3")
    for code, at in (("described", 4), ("described(", 10), ("value", 5), ("nowhere", 3), ("len", 3), ("%timeit", 4), ("", 0), ("described(1, 2)", 12)):  # fmt: skip
        for level in (0, 1):
            a.ask("inspect_request", {"code": code, "cursor_pos": at, "detail_level": level})


@check()
def completeness(stage: Stage, a: Client) -> None:
    for code in ("1", "for x in y:", "def f():\n    return 1\n", "x = (", "1 +", "'''", "raise =", "%%time\n", "%time 1", "", "if 1:\n    x", "!ls", "a?", "await x"):  # fmt: skip
        a.ask("is_complete_request", {"code": code})


@check()
def history(stage: Stage, a: Client) -> None:
    for code in ("first = 1", "first + 1", "1 / 0", "%precision 3", "not stored"):
        a.run(code, store_history=code != "not stored", stop_on_error=False)
    for asked in (
        {"hist_access_type": "range", "session": 0, "start": 1, "stop": 4},
        {"hist_access_type": "range", "session": 0, "start": 0, "stop": 100},
        {"hist_access_type": "range", "session": 0, "start": 2, "stop": 3, "output": True},
        {"hist_access_type": "tail", "n": 3},
        {"hist_access_type": "tail", "n": 0},
        {"hist_access_type": "search", "pattern": "first*", "n": 2},
        {"hist_access_type": "search", "pattern": "*", "n": 4, "unique": True},
        {"hist_access_type": "search", "pattern": "no such text"},
    ):
        for raw in (True, False):
            a.ask("history_request", {"output": False, **asked, "raw": raw})


@check(ordered=False)
def kernel_info(stage: Stage, a: Client) -> None:
    a.ask("kernel_info_request", {})
    a.ask("kernel_info_request", {}, channel="control")
    # As jupyter_server does: on both at once.
    both = [a.send("kernel_info_request", {}), a.send("kernel_info_request", {}, channel="control")]
    a.until(lambda: all(one.done for one in both))
    a.run("get_ipython().kernel.banner.split()[0]")


@check()
def connect(stage: Stage, a: Client) -> None:
    a.ask("connect_request", {})
    a.ask("connect_request", {}, channel="control")


@check(without=("usage_reply",))
def usage(stage: Stage, a: Client) -> None:
    reply = a.ask("usage_request", {}, channel="control").reply
    stage.note(sorted({*reply} - {"host_cpu_percent"}))  # which is left out when it is 0
    said = a.run("import os; print('pid:', os.getpid())").text
    stage.note(said == f"pid: {reply.get('pid')}\n")


@check()
def shell_requests_on_control(stage: Stage, a: Client) -> None:
    a.run("wavelength = 1")
    a.ask("complete_request", {"code": "wavel", "cursor_pos": 5}, channel="control")
    a.ask("is_complete_request", {"code": "1"}, channel="control")
    a.ask("inspect_request", {"code": "wavelength", "cursor_pos": 5}, channel="control")
    a.ask("comm_info_request", {}, channel="control")
    a.run("wavelength + 1", channel="control")
    a.run("1 / 0", channel="control")
    a.run("'after'")


@check(ordered=False)
def control_while_a_cell_runs(stage: Stage, a: Client) -> None:
    busy = a.execute(f"print('begun', flush=True); {stage.gate}")
    a.until(lambda: "begun" in busy.text)
    a.ask("kernel_info_request", {}, channel="control")
    stage.note(busy.idle)
    stage.open_gate()
    a.finish(busy)


@check()
def requests_while_a_cell_runs_wait(stage: Stage, a: Client) -> None:
    busy = a.execute(f"print('begun', flush=True); {stage.gate}")
    a.until(lambda: "begun" in busy.text)
    others = [
        a.send("kernel_info_request", {}),
        a.send("complete_request", {"code": "tim", "cursor_pos": 3}),
        a.send("comm_info_request", {}),
        a.execute("3"),
        a.send("is_complete_request", {"code": "1"}),
    ]
    stage.open_gate()
    for one in (busy, *others):
        a.finish(one)
