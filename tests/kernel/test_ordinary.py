"""Ordinary cells behave as in plain ipykernel."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.harness import PATIENCE, Kernel, Site


def test_a_value_is_shown_between_one_busy_and_one_idle(kernel: Kernel) -> None:
    cell = kernel.run("40 + 2")
    assert cell.value == "42"
    assert cell.states == ["busy", "idle"]


def test_all_messages_carry_one_session_id(kernel: Kernel) -> None:
    ordinary, ours = kernel.run("print('a')"), kernel.run("%jobs")
    sessions = {m["header"]["session"] for cell in (ordinary, ours) for m in cell.messages}
    assert len(sessions) == 1


def test_an_error_aborts_the_cells_queued_behind_it(kernel: Kernel) -> None:
    first = kernel.send("import time; time.sleep(0.3); 1/0")
    second = kernel.send("print('no')")
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
        "import threading, time\n"
        "def talk():\n"
        "    for i in range(40):\n"
        "        print('line', i, flush=True); time.sleep(0.02)\n"
        "thread = threading.Thread(target=talk); thread.start()"
    )
    others = [kernel.run("%jobs") for _ in range(10)]
    ending = kernel.run("thread.join()")
    text = "".join(c.text for c in (cell, *others, ending))
    assert [f"line {i}\n" in text for i in range(40)] == [True] * 40


def test_one_counter_and_history_for_all_cells(kernel: Kernel) -> None:
    before = kernel.run("None").reply["execution_count"]
    ours = kernel.run("%jobs")
    after = kernel.run("In[-2], _i")
    assert [ours.reply["execution_count"], after.reply["execution_count"]] == [before + 1, before + 2]
    assert after.value == "('%jobs', '%jobs')"


def test_restart_gives_a_fresh_namespace_and_the_same_ports(site: Site) -> None:
    kernel = Kernel(site)
    try:
        kernel.run("x = 1")
        kernel.manager.restart_kernel()
        kernel.client.wait_for_ready(timeout=PATIENCE)
        assert kernel.run("x").error.startswith("NameError")
    finally:
        kernel.close()


def test_shutdown_leaves_no_process_and_no_file(site: Site) -> None:
    kernel = Kernel(site)
    processes = kernel.processes()
    kernel.run("x = 1")
    folder = f"kernel-{kernel.pid}"
    assert folder in site.leftovers()
    kernel.close()
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert not alive
    assert folder not in site.leftovers()


def test_exit_in_a_cell_ends_the_kernel(site: Site) -> None:
    kernel = Kernel(site)
    processes = kernel.processes()
    kernel.send("exit()")
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert not alive
    kernel.close()


@pytest.mark.parametrize("code", ["time.sleep(600)", "re.match('(a+)+$', 'a' * 60 + 'b')"])
def test_a_killed_wrapper_takes_the_inner_kernel_along(site: Site, code: str) -> None:
    """Also one that is busy in C code, and can't notice by itself."""
    kernel = Kernel(site)
    processes = kernel.processes()
    cell = kernel.send(f"import re, time; print('begun', flush=True); time.sleep(0.5); {code}")
    kernel.listen(lambda: "begun" in cell.text)
    os.kill(kernel.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert not alive
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
def test_a_dead_inner_kernel_is_explained_and_replaced(site: Site, code: str, cause: str) -> None:
    kernel = Kernel(site)
    try:
        kernel.run("survivor = 1")
        # It dies a moment later, so that the next cell is in its queue by then.
        dying, queued = kernel.send(f"import time; time.sleep(1)\n{code}"), kernel.send("never = 1")
        kernel.finish(queued)
        assert dying.error.startswith("KernelDied") and cause in dying.error
        assert dying.states == ["busy", "idle"] and queued.reply["status"] == "aborted"
        assert "never" in kernel.run("never").error and "survivor" in kernel.run("survivor").error
        assert kernel.run("6 * 7").value == "42"
        sessions = {m["header"]["session"] for cell in kernel.cells.values() for m in cell.messages}
        assert len(sessions) == 1
        kernel.batch("after_death = 1")
        assert kernel.run("after_death").value == "1"
    finally:
        kernel.close()


def test_a_kernel_that_dies_again_and_again_ends(site: Site) -> None:
    kernel = Kernel(site)
    processes = kernel.processes()
    for _ in range(2):
        kernel.run("import os; os._exit(7)")
    kernel.send("import os; os._exit(7)")
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    kernel.close()
    assert not alive


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
