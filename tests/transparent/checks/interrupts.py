"""Interrupts by signal and by message, of all that a cell may wait for."""

from __future__ import annotations

from tests.transparent.checks.comms import new_subshell
from tests.transparent.stage import Stage, check
from tests.transparent.talk import Client, idle

_BEGUN = "print('begun', flush=True)"
_LONG = {
    "a busy loop": f"{_BEGUN}\nwhile True: pass",
    "time.sleep": f"import time; {_BEGUN}; time.sleep(60)",
    "asyncio.sleep": f"import asyncio; {_BEGUN}; await asyncio.sleep(60)",
    "a process": "import subprocess; subprocess.run(['sh', '-c', 'echo begun; exec sleep 60'])",
    "a shell line": "!echo begun; exec sleep 60",
    "a pipe": "import subprocess; subprocess.run(['sh', '-c', 'echo begun >&2; sleep 60 | cat'], stdout=-1)",
    "a lock": f"import threading; {_BEGUN}; threading.Event().wait(60)",
    "compiled code without the GIL": f"import hashlib; {_BEGUN}\nx = [hashlib.pbkdf2_hmac('sha256', b'a', b'b', 300_000) for _ in range(200)]",
    "ctypes": f"import ctypes, time; {_BEGUN}; ctypes.CDLL(None).poll(0, 0, 60_000); time.sleep(60)",
    "a process pool": f"import multiprocessing, time\ndef work(): {_BEGUN}; time.sleep(60)\np = multiprocessing.get_context('fork').Pool(1)\ntry:\n    p.apply(work)\nfinally:\n    p.terminate()",
}


def interrupted(name: str, by: str) -> None:
    """Register the check that this code is interrupted."""

    def play(stage: Stage, a: Client) -> None:
        one = a.execute(_LONG[name])
        queued = a.execute("'queued'")
        stage.interrupt(one, by)
        if name == "asyncio.sleep":
            # ipykernel 7 notices the interrupt only when something else wakes its event loop.
            a.listen(0.3)
            a.send("kernel_info_request", {})
        a.finish(one)
        a.finish(queued)
        a.run("'after'")

    play.__name__ = f"interrupt_of_{name}_by_{by}".replace(" ", "_").replace(".", "_")
    # Whether a worker process still says that it was interrupted is a matter of timing.
    check(ordered=False, without=("stream",) if "pool" in name else ())(play)


for _name in _LONG:
    interrupted(_name, "signal")
    interrupted(_name, "message")


@check()
def interrupt_of_an_idle_kernel(stage: Stage, a: Client) -> None:
    stage.interrupt()
    a.listen(0.1)
    a.run("'after a signal'")
    a.ask("interrupt_request", {}, channel="control")
    a.run("'after a message'")


def interrupted_prompts(stage: Stage, a: Client, by: str) -> None:
    for count, code in enumerate(
        ("input('wait? ')", "import getpass; getpass.getpass('w? ')", "import pdb; pdb.set_trace(); 1"), 1
    ):
        one = a.execute(code, allow_stdin=True)
        a.prompt(count)
        a.listen(0.1)
        stage.interrupt(by=by)
        a.listen(0.5)
        if "pdb" in code and not one.idle:
            prompts = [heard for heard in a.log if heard.type == "input_request"]
            stage.note(len(prompts))
            a.answer(prompts[-1], "q")
        a.finish(one)
    a.run("'after'")


@check(ordered=False)
def interrupt_of_prompts_by_signal(stage: Stage, a: Client) -> None:
    interrupted_prompts(stage, a, "signal")


@check(ordered=False)
def interrupt_of_prompts_by_message(stage: Stage, a: Client) -> None:
    interrupted_prompts(stage, a, "message")


@check()
def an_interrupt_between_a_cell_and_its_reply(stage: Stage, a: Client) -> None:
    """Then ipykernel sends no reply, only its idle: a matter of luck with a real cell, so here it takes its time."""
    a.run("get_ipython().kernel._execute_sleep = 0.6", silent=True)
    one = a.execute("print('begun', flush=True)")
    stage.interrupt(one)
    idle(a, one)
    stage.note(len(one.replies))
    a.finish(a.execute("get_ipython().kernel._execute_sleep = 0.0005", silent=True))
    a.run("'after'")


@check()
def a_cell_may_catch_an_interrupt(stage: Stage, a: Client) -> None:
    one = a.execute(
        "import time\ntry:\n    print('begun', flush=True); time.sleep(30)\nexcept KeyboardInterrupt:\n    print('caught')\nprint('second', flush=True)\ntime.sleep(30)"
    )
    stage.interrupt(one)
    a.until(lambda: "second" in one.text)
    a.listen(0.1)
    stage.interrupt()
    a.finish(one)
    a.run("'after'")


@check()
def a_cell_may_have_a_signal_handler(stage: Stage, a: Client) -> None:
    one = a.execute(
        "import signal, time\nhandled = []\nold = signal.signal(signal.SIGINT, lambda *_: handled.append(1))\nprint('begun', flush=True)\nwhile not handled: time.sleep(0.1)\nprint('handled')\n_ = signal.signal(signal.SIGINT, old)"
    )
    stage.interrupt(one)
    a.finish(one)
    a.run("signal.getsignal(signal.SIGINT).__name__, signal.getsignal(signal.SIGTERM)")


@check(ordered=False)
def a_subshell_s_cell_and_an_interrupt(stage: Stage, a: Client) -> None:
    subshell = new_subshell(a)
    one = a.execute(f"print('begun', flush=True); {stage.gate}; 'went on'", subshell=subshell)
    stage.interrupt(one)
    stage.open_gate()
    a.finish(one)
    a.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")
