"""Ordinary cells behave as in plain ipykernel."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.harness import PATIENCE, Cell, Gate, Kernel, Site, until


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert not alive


def test_a_value_is_shown_between_one_busy_and_one_idle(kernel: Kernel) -> None:
    cell = kernel.run("40 + 2")
    assert cell.value == "42"
    assert cell.states == ["busy", "idle"]


def test_all_messages_carry_one_session_id(kernel: Kernel) -> None:
    ordinary, ours = kernel.run("print('a')"), kernel.run("%jobs")
    sessions = {m["header"]["session"] for cell in (ordinary, ours) for m in cell.messages}
    assert len(sessions) == 1


def test_an_error_aborts_the_cells_queued_behind_it(kernel: Kernel, gate: Gate) -> None:
    first = kernel.send(f"print('begun', flush=True)\n{gate.code}1/0")
    second = kernel.send("print('no')")
    kernel.listen(lambda: "begun" in first.text)
    gate.open()
    kernel.finish(second)
    assert first.reply["ename"] == "ZeroDivisionError"
    assert second.reply["status"] == "aborted"


def test_completion_and_inspection(kernel: Kernel) -> None:
    kernel.run("wavelength = 5.0")
    content = kernel.client.complete("wavel", reply=True, timeout=PATIENCE)["content"]
    assert "wavelength" in content["matches"]
    found = kernel.client.inspect("wavelength", reply=True, timeout=PATIENCE)["content"]
    assert found["found"]


def test_stdin_reaches_the_cell_that_asks(kernel: Kernel) -> None:
    cell = kernel.send("answer = input('how many? ')", allow_stdin=True)
    request = kernel.client.get_stdin_msg(timeout=PATIENCE)
    assert request["content"]["prompt"] == "how many? "
    kernel.client.input("7")
    kernel.finish(cell)
    assert kernel.run("answer").value == "'7'"


def test_a_comm_of_the_user_s_is_answered(kernel: Kernel) -> None:
    kernel.run(
        "def opened(comm, message):\n"
        "    comm.on_msg(lambda m: comm.send({'twice': 2 * m['content']['data']['x']}))\n"
        "get_ipython().kernel.comm_manager.register_target('double', opened)"
    )
    client = kernel.client
    opening = client.session.msg("comm_open", {"comm_id": "c1", "target_name": "double", "data": {}})
    client.shell_channel.send(opening)
    asking = client.session.msg("comm_msg", {"comm_id": "c1", "data": {"x": 21}})
    client.shell_channel.send(asking)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        message = client.get_iopub_msg(timeout=PATIENCE)
        if message["msg_type"] == "comm_msg":
            assert message["content"]["data"] == {"twice": 42}
            return
    pytest.fail("the comm never answered")


def test_kernel_info_is_the_inner_kernel_s_with_our_banner(kernel: Kernel) -> None:
    content = kernel.client.kernel_info(reply=True, timeout=PATIENCE)["content"]
    assert content["implementation"] == "ipython"
    assert content["banner"].startswith("ganga-kernel")
    assert "Python" in content["banner"]


def test_interrupt_ends_a_cell_and_nothing_else(kernel: Kernel) -> None:
    cell = kernel.send("print('begun', flush=True)\nimport time; time.sleep(60)")
    kernel.listen(lambda: "begun" in cell.text)
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert kernel.run("1").value == "1"


def test_output_of_a_thread_is_kept_while_we_ask_the_kernel_things(kernel: Kernel) -> None:
    """Internal requests must not swallow what a thread prints in the meantime."""
    cell = kernel.run(
        "import sys, threading, time\n"
        "def talk():\n"
        "    for i in range(40):\n"
        "        sys.stdout.write(f'line {i}\\n'); sys.stdout.flush(); time.sleep(0.02)\n"
        "thread = threading.Thread(target=talk); thread.start()"
    )
    others = [kernel.run("%jobs") for _ in range(10)]
    ending = kernel.run("thread.join()")
    text = "".join(c.text for c in (cell, *others, ending))
    assert [f"line {i}\n" in text for i in range(40)] == [True] * 40


def test_each_cell_is_one_request_with_one_number_and_one_entry_in_the_history(
    kernel: Kernel, gate: Gate
) -> None:
    """Whoever answers it: the notebook's kernel, a magic of ours, a job, or a job that another waits for."""
    before = kernel.run("numbered = 1").reply["execution_count"]
    typed = [f"%%batch --cpus 1\n{gate.code}held_name = 1 ", "%jobs  -n 1", "%%batch?", "held_name  + 1"]
    cells = [kernel.send(code) for code in typed]
    kernel.listen(lambda: "busy" in cells[-1].states)
    gate.open()
    for cell in cells:
        kernel.finish(cell)
    assert [cell.states for cell in cells] == [["busy", "idle"]] * 4
    numbers = list(range(before + 1, before + 5))
    assert [cell.reply["execution_count"] for cell in cells] == numbers
    entries = list(zip(numbers, typed, strict=True))
    shown = [content for cell in cells for content in cell.of("execute_input")]
    assert [(content["execution_count"], content["code"]) for content in shown] == entries
    last = f"assert [_i, _ii, _iii, In[{before + 1}]] == {[*typed[:0:-1], typed[0]]}"
    assert kernel.run(last).reply["status"] == "ok"
    text = kernel.run(f"%history {before + 1}-{before + 4}").text
    assert text == "".join(f"{code.rstrip()}\n" for code in typed)
    kernel.client.history(raw=True, hist_access_type="tail", n=7)
    found = kernel.client.get_shell_msg(timeout=PATIENCE)["content"]["history"]
    assert [(number, code) for _, number, code in found][-6:-2] == entries


@pytest.mark.parametrize("code", ["%jobs -n 1", "%%batch\n1", "1"])
def test_a_cell_that_isn_t_to_be_stored_takes_no_number(kernel: Kernel, code: str) -> None:
    before = kernel.run("None").reply["execution_count"]
    cell = kernel.run(code, store_history=False)
    assert cell.states == ["busy", "idle"]
    assert (cell.of("execute_input")[0]["execution_count"], cell.reply["execution_count"]) == (
        before + 1,
        before,
    )
    after = kernel.run("_i")
    assert after.reply["execution_count"] == before + 1 and after.value == "'None'"


@pytest.mark.parametrize("code", ["%jobs -n 1", "%%batch\n1", "1"])
def test_user_expressions_are_evaluated_whoever_answers(kernel: Kernel, code: str) -> None:
    values = kernel.run(code, user_expressions={"x": "6 * 7", "y": "nowhere"}).reply["user_expressions"]
    assert values["x"]["data"]["text/plain"] == "42" and values["y"]["ename"] == "NameError"


@pytest.mark.parametrize("code", ["%jobs -n 1", "%%batch\n1", "'once'"])
def test_a_repeated_request_is_ignored_whoever_would_answer(kernel: Kernel, code: str) -> None:
    session = kernel.client.session
    message = session.msg("execute_request", {"code": code, "silent": False})
    frames = session.serialize(message)
    cell = kernel.cells[message["header"]["msg_id"]] = Cell(message["header"]["msg_id"])
    for _ in range(2):
        kernel.client.shell_channel.socket.send_multipart(frames)
    kernel.finish(cell)
    assert kernel.run("%jobs -n 1").reply["status"] == "ok"
    assert cell.states == ["busy", "idle"] and len(cell.of("execute_input")) == 1


def test_a_batch_request_without_code_hurts_nobody(kernel: Kernel) -> None:
    message = kernel.client.session.msg("execute_request", {"silent": False})
    message["metadata"] = {"tags": ["batch"]}
    kernel.client.shell_channel.send(message)
    assert kernel.run("%jobs -n 1").reply["status"] == "ok"


def test_an_interrupt_by_message_ends_the_wait_and_not_the_job(kernel: Kernel, gate: Gate) -> None:
    batch = kernel.run(f"%%batch\n{gate.code}patient = 1")
    held = kernel.send("patient + 1")
    kernel.listen(lambda: "busy" in held.states)
    message = kernel.client.session.msg("interrupt_request", {})
    kernel.client.control_channel.send(message)
    kernel.finish(held)
    reply = kernel.client.get_control_msg(timeout=PATIENCE)
    assert reply["msg_type"] == "interrupt_reply" and reply["content"]["status"] == "ok"
    assert held.reply["ename"] == "KeyboardInterrupt" and held.states == ["busy", "idle"]
    assert kernel.run("'next'").value == "'next'"  # and no later cell feels it
    gate.open()
    kernel.until_panel(batch, "done")
    assert kernel.run("patient").value == "1"


def test_interrupts_at_any_moment_of_a_cell_s_begin_leave_no_cell_waiting(kernel: Kernel, gate: Gate) -> None:
    """Also those that come while the kernel answers us.

    Not at a cell's end: one that comes while ipykernel sends the reply leaves half a message in its socket.
    """
    batch = kernel.run(f"%%batch\n{gate.code}under_fire = 1")
    for pause in range(0, 30, 3):
        cell = kernel.send("import time; print('begun', flush=True); time.sleep(60)")
        time.sleep(pause / 2000)
        kernel.interrupt()
        try:
            kernel.listen(lambda cell=cell: "idle" in cell.states, patience=1)
        except TimeoutError:  # ipykernel was idle yet, and ignored it
            kernel.listen(lambda cell=cell: cell.text)
            kernel.interrupt()
            kernel.listen(lambda cell=cell: "idle" in cell.states)
    gate.open()
    kernel.until_panel(batch, "done")
    assert kernel.run("under_fire", stop_on_error=False).value == "1"


def test_restart_gives_a_fresh_namespace_and_the_same_ports(site: Site) -> None:
    kernel = Kernel(site)
    try:
        kernel.run("x = 1")
        kernel.manager.restart_kernel()
        kernel.client.wait_for_ready(timeout=PATIENCE)
        assert kernel.run("x").error.startswith("NameError")
    finally:
        kernel.close()


@pytest.mark.parametrize("now", [False, True])
@pytest.mark.parametrize("doing", ["nothing", "a cell", "waiting for a job"])
def test_shutdown_leaves_no_process_and_no_file(site: Site, gate: Gate, doing: str, now: bool) -> None:
    kernel = Kernel(site)
    processes = kernel.processes()
    folder = f"kernel-{kernel.pid}"
    assert folder in site.leftovers()
    if doing == "a cell":
        cell = kernel.send("print('begun', flush=True); import time; time.sleep(600)")
        kernel.listen(lambda: "begun" in cell.text)
    elif doing == "waiting for a job":
        kernel.run(f"%%batch\n{gate.code}never_delivered = 1")
        held = kernel.send("never_delivered")
        kernel.listen(lambda: "busy" in held.states)
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=now)
    gate.open()
    assert_gone(processes)
    until(lambda: folder not in site.leftovers())  # the broker's sweep, where the kernel couldn't do it


def test_exit_in_a_cell_ends_the_kernel(site: Site) -> None:
    kernel = Kernel(site)
    processes = kernel.processes()
    folder = f"kernel-{kernel.pid}"
    kernel.send("exit()")
    assert_gone(processes)
    assert folder not in site.leftovers()
    kernel.close()


@pytest.mark.parametrize("busy", [False, True])
def test_a_killed_wrapper_takes_the_inner_kernel_along(site: Site, busy: bool) -> None:
    """Also one that is busy in C code, and can't notice by itself."""
    kernel = Kernel(site)
    processes = kernel.processes()
    if busy:
        inner = psutil.Process(int(kernel.run("import os; os.getpid()").value or 0))
        used = inner.cpu_times().user
        kernel.send("import re; re.match('(a+)+$', 'a' * 60 + 'b')")
        until(lambda: inner.cpu_times().user > used + 0.5)
    os.kill(kernel.pid, signal.SIGKILL)
    assert_gone(processes)
    kernel.close()
    other = Kernel(site)  # its start removes what the killed one left
    try:
        assert f"kernel-{processes[0].pid}" not in site.leftovers()
    finally:
        other.close()


def test_a_module_in_the_notebook_s_folder_can_t_shadow_ours(site: Site, tmp_path: Path) -> None:
    for name in ("zmq", "routing", "traitlets", "metakernel", "cloudpickle"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('shadowed')")
    (tmp_path / "ipython_config.py").write_text("raise RuntimeError('read from the notebook folder')")
    kernel = Kernel(site, cwd=tmp_path)
    try:
        assert kernel.run("1 + 1").value == "2"
        assert kernel.run("%jobs").reply["status"] == "ok"
    finally:
        kernel.close()


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "memory"),
        ("import os; os._exit(7)", "exit code 7"),
    ],
)
def test_a_dead_inner_kernel_is_explained_and_replaced(
    site: Site, gate: Gate, tmp_path: Path, code: str, cause: str
) -> None:
    kernel = Kernel(site)
    try:
        kernel.run("survivor = 1")
        before = kernel.run(f"%%batch\n{gate.code}print('goes on')\nfrom_before = 1")
        alive = Gate(tmp_path / "alive")
        dying = kernel.send(f"print('begun', flush=True)\n{alive.code}{code}")
        queued = kernel.send("never = 1")
        kernel.listen(lambda: "begun" in dying.text)
        alive.open()
        kernel.finish(queued)
        assert dying.error.startswith("KernelDied") and cause in dying.error
        assert dying.states == ["busy", "idle"] and queued.reply["status"] == "aborted"
        assert "never" in kernel.run("never").error and "survivor" in kernel.run("survivor").error
        assert kernel.run("6 * 7").value == "42"
        gate.open()
        kernel.until_panel(before, "done")
        assert before.text == "goes on\n" and before.states == ["busy", "idle"]
        sessions = {m["header"]["session"] for cell in kernel.cells.values() for m in cell.messages}
        assert len(sessions) == 1
        kernel.batch("after_death = 1")
        assert kernel.run("after_death").value == "1"
    finally:
        kernel.close()


def test_a_held_cell_fails_when_its_kernel_dies(site: Site, gate: Gate) -> None:
    kernel = Kernel(site)
    try:
        batch = kernel.run(f"%%batch\n{gate.code}waited_for = 1")
        inner = psutil.Process(int(kernel.run("import os; os.getpid()").value or 0))
        held, queued = kernel.send("waited_for"), kernel.send("2")
        kernel.listen(lambda: "busy" in held.states)
        inner.kill()
        kernel.finish(queued)
        assert held.error.startswith("KernelDied") and held.states == ["busy", "idle"]
        assert queued.reply["status"] == "aborted" and queued.states == ["busy", "idle"]
        assert kernel.run("6 * 7").value == "42"
        gate.open()
        kernel.until_panel(batch, "done")
        assert kernel.run("'next'").value == "'next'"
    finally:
        kernel.close()


def test_a_kernel_that_dies_again_and_again_ends(site: Site) -> None:
    kernel = Kernel(site)
    processes = kernel.processes()
    for _ in range(2):
        kernel.run("import os; os._exit(7)")
    kernel.send("import os; os._exit(7)")
    assert_gone(processes)
    kernel.close()


@pytest.mark.parametrize("code", ["x = %jobs", "1\n%kill 3", "if True:\n    %wait", "x = 1\n%batch --cpus 2"])
def test_a_magic_of_ours_in_the_wrong_place_says_where_it_belongs(kernel: Kernel, code: str) -> None:
    cell = kernel.run(code)
    text = cell.text + cell.error
    assert "must be the first line of a cell of its own" in text
    assert "Traceback" not in text


def test_our_magics_win_no_name_that_ipython_has(kernel: Kernel) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    from ganga_kernel.routing import MAGICS

    known = InteractiveShell().magics_manager.magics
    assert not set(MAGICS) & (set(known["line"]) | set(known["cell"]))


def test_connect_reply_names_the_front_end_s_ports(kernel: Kernel) -> None:
    message = kernel.client.session.msg("connect_request", {})
    kernel.client.shell_channel.send(message)
    content = kernel.client.get_shell_msg(timeout=PATIENCE)["content"]
    info = kernel.manager.get_connection_info()
    ports = {name: content[name] for name in content if name.endswith("_port")}
    assert ports == {name: info[name] for name in ports} and len(ports) == 5


def test_a_message_without_the_right_signature_is_ignored(kernel: Kernel) -> None:
    """Whoever reaches the ports but doesn't know the key can do no harm."""
    import zmq

    info = kernel.manager.get_connection_info()
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.connect(f"tcp://{info['ip']}:{info['shell_port']}")
    bomb = [b"<IDS|MSG>", b"x" * 64, b"[" * 200_000, b"{}", b"{}", b"{}"]
    socket.send_multipart(bomb)
    header = b'{"msg_id": "1", "msg_type": "execute_request"}'
    socket.send_multipart([b"<IDS|MSG>", b"x" * 64, header, b"{}", b"{}", b'{"code": "evil = 1"}'])
    assert kernel.run("'alive'").value == "'alive'"
    assert kernel.run("evil").error.startswith("NameError")
    socket.close(linger=0)


def test_a_kernel_that_is_killed_under_a_batch_cell_answers_it(site: Site) -> None:
    kernel = Kernel(site)
    try:
        kernel.run("import os")
        inner = psutil.Process(int(kernel.run("os.getpid()").value or 0))
        inner.suspend()
        cell = kernel.send("%%batch\n1")
        inner.kill()
        kernel.finish(cell)  # by the dead kernel's successor, if it had not been asked for its number yet
        assert cell.reply["status"] == "ok" or "died" in cell.error
        assert kernel.run("6 * 7").value == "42"
    finally:
        kernel.close()
