"""The kernel's end."""

from __future__ import annotations

from typing import Any

from tests.transparent.stage import Stage, check
from tests.transparent.talk import Client


def ends(stage: Stage, a: Client) -> None:
    """Note how the kernel's process ended."""
    provisioner: Any = stage.kernel.manager.provisioner
    a.until(lambda: provisioner.process.poll() is not None)
    a.listen(0.1)
    stage.note(provisioner.process.returncode)


def shutdown(restart: bool, channel: str) -> None:
    def play(stage: Stage, a: Client) -> None:
        a.run("x = 1")
        one = a.send("shutdown_request", {"restart": restart}, channel=channel)
        a.until(lambda: one.replies or channel == "shell")
        ends(stage, a)

    play.__name__ = f"shutdown_on_{channel}{'_to_restart' if restart else ''}"
    # On the shell channel, ipykernel may end before it has said so.
    without = ("shutdown_reply", "status") if channel == "shell" else ()
    check(own=True, ordered=False, without=without)(play)


shutdown(False, "control")
shutdown(True, "control")
shutdown(False, "shell")


@check(own=True, ordered=False)
def shutdown_while_a_cell_runs(stage: Stage, a: Client) -> None:
    one = a.execute("import time; print('begun', flush=True); time.sleep(1)")
    a.until(lambda: "begun" in one.text)
    two = a.send("shutdown_request", {"restart": False}, channel="control")
    a.until(lambda: two.replies)
    ends(stage, a)


@check(own=True, ordered=False)
def exit_in_a_cell(stage: Stage, a: Client) -> None:
    one = a.execute("import atexit; atexit.register(open, 'ended', 'w'); print('going'); exit()")
    a.until(lambda: one.replies)
    ends(stage, a)
