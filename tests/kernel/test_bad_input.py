"""Mistakes: a clear error in the cell, nothing submitted, the kernel stays usable, running jobs unharmed."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Cell, Gate, Kernel, Site, make_site


@pytest.fixture(scope="module")
def kernel(site: Site) -> Iterator[Kernel]:
    site.environment["CONDOR_CONFIG"] = "/nonexistent/condor_config"
    running = Kernel(site)
    yield running
    running.close()


@pytest.mark.parametrize(
    ("code", "metadata", "error", "words"),
    [
        ("%%batch\nfor", {}, "SyntaxError", ["invalid syntax"]),
        ("%%batch\nif True:\nx = 1", {}, "IndentationError", ["expected an indented block"]),
        ("%%batch\nreturn 1", {}, "SyntaxError", ["'return' outside function"]),
        ("%%batch --memroy 2GB\n1", {}, "OptionError", ["memroy", "Did you mean memory?"]),
        ("%%batch --memory lots\n1", {}, "OptionError", ["memory", "lots", "2GB"]),
        ("%%batch --memory -1\n1", {}, "OptionError", ["memory"]),
        ("%%batch --memory 1" + "0" * 400 + "\n1", {}, "OptionError", ["out of all range"]),
        ("%%batch --backend LSF --memory 1GB\n1", {}, "BackendError", ["LSF", "memory"]),
        ("%%batch --cpus 1.5\n1", {}, "OptionError", ["cpus", "1.5"]),
        ("%%batch --runtime soon\n1", {}, "OptionError", ["runtime", "soon", "20min"]),
        ("%%batch 'unbalanced\n1", {}, "OptionError", ["quotes"]),
        ("%%batch stray\n1", {}, "OptionError", ["stray"]),
        ("1", {"tags": ["batch:cpu=2"]}, "OptionError", ["cpu", "Did you mean cpus?"]),
        ("1", {"tags": ["batch"], "batch": {"memory": "x"}}, "OptionError", ["memory=x", "metadata"]),
        ("%%batch --backend HTCondr\n1", {}, "UnknownBackend", ["HTCondr", "Did you mean HTCondor?"]),
        ("%%batch --backend condor\n1", {}, "UnknownBackend", ["HTCondor", "Local"]),
        ("%%batch --backend HTCondor\n1", {}, "ScheddUnreachable", ["/nonexistent/condor_config"]),
        ("%kill", {}, "OptionError", ["N"]),
        ("%kill one", {}, "OptionError", ["one"]),
        ("%kill 4711", {}, "BackendError", ["no job 4711"]),
        ("%wait 4711", {}, "BackendError", ["no job 4711"]),
        ("%jobs --all", {}, "OptionError", ["all"]),
        ("%jobs\nprint(1)", {}, "CellError", ["print(1)"]),
        ("%batch --backend HTCondor\nx = 1", {}, "CellError", ["%%batch"]),
    ],
)
def test_a_mistake_is_named_and_harms_nothing(
    kernel: Kernel, code: str, metadata: dict[str, object], error: str, words: list[str]
) -> None:
    running = kernel.run("%%batch\nimport time; time.sleep(0.3); survivor = 1")
    cell = kernel.run(code, metadata)
    assert cell.reply["status"] == "error"
    assert cell.error.startswith(error)
    assert [word for word in words if word not in cell.error] == []
    assert not cell.panels
    assert cell.states == ["busy", "idle"]
    assert not any("ganga_kernel" in line for line in cell.of("error")[0]["traceback"])
    kernel.until_panel(running, "done")
    assert kernel.run("survivor").value == "1"


def test_what_cannot_be_written_to_the_spool_is_said_under_the_cell_s_own_number(kernel: Kernel) -> None:
    kernel.run("import resource; big = bytes(20_000_000); limit = resource.getrlimit(resource.RLIMIT_FSIZE)")
    kernel.run("resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, limit[1]))")
    before = kernel.run("0").reply["execution_count"]
    cell = kernel.run("%%batch\nlen(big)")
    after = kernel.run("resource.setrlimit(resource.RLIMIT_FSIZE, limit)").reply["execution_count"]
    assert cell.error.startswith("DeliveryFailed") and "File too large" in cell.error
    assert [before, cell.reply["execution_count"], after] == [before, before + 1, before + 2]


def test_an_error_of_ours_aborts_the_queue_as_any_error_does(kernel: Kernel) -> None:
    wrong, next_one = kernel.send("%%batch --memroy 1\n1"), kernel.send("print('no')")
    kernel.finish(next_one)
    assert (wrong.reply["status"], next_one.reply["status"]) == ("error", "aborted")


def _only_cell(site: Site, code: str, **env: str) -> tuple[Cell, str | None]:
    """One batch cell's fate in a new kernel, and whether ordinary cells still work."""
    kernel = Kernel(site, **env)
    try:
        return kernel.run(code), kernel.run("6 * 7").value
    finally:
        kernel.close()


def test_a_state_folder_that_can_t_be_made(site: Site) -> None:
    blocked = site.root / "a-file"
    blocked.write_text("")
    with make_site() as other:
        other.configure(state_dir=str(blocked / "state"))
        cell, answer = _only_cell(other, "%%batch\n1")
    assert cell.error.startswith("SettingsError") and str(blocked) in cell.error
    assert answer == "42"


def test_ganga_that_can_t_be_imported(site: Site) -> None:
    broken = site.root / "broken"
    broken.mkdir()
    (broken / "ganga.py").write_text("raise ImportError('no Ganga here')")
    with make_site() as other:
        kernel = Kernel(other, PYTHONPATH=str(broken))
        try:
            cell = kernel.run("%%batch\nlost = 1")  # accepted or refused: Ganga is still being loaded
            kernel.listen(lambda: cell.error)
            text = cell.error + cell.panel
            assert "Ganga can't be loaded" in text and "no Ganga here" in text and "pip install ganga" in text
            assert "Ganga can't be loaded" in kernel.run("%%batch\nlost = 1").error
            assert kernel.run("6 * 7").value == "42"
        finally:
            kernel.close()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("c.GangaKernel.bakend = 'Local'", ["bakend", "backend"]),
        ("c.GangaKernel.local_slots = 'many'", ["local_slots"]),
        ("c.Cern.flavors = {}", ["Cern.flavors", "flavours"]),
        ("nonsense", ["NameError"]),
        ("c.GangaKernel.options = {'memroy': '1GB'}", ["memroy", "GangaKernel.options"]),
    ],
)
def test_a_configuration_that_is_wrong(line: str, words: list[str]) -> None:
    with make_site() as site:
        site.config.write_text(f"{site.config.read_text()}\n{line}\n")
        cell, answer = _only_cell(site, "%%batch\n1")
    assert [word for word in words if word not in cell.error] == []
    assert answer == "42"


def test_another_protocol_is_refused_with_a_remedy(site: Site) -> None:
    import zmq

    from ganga_kernel.broker import protocol

    kernel = Kernel(site)
    try:
        kernel.run("%jobs")
        socket = zmq.Context.instance().socket(zmq.DEALER)
        path = next((site.root / "run" / "ganga-kernel").glob("broker-*"))
        socket.connect(f"ipc://{path}")
        socket.send(protocol.encode({"id": 1, "op": "hello", "protocol": 99}))
        assert socket.poll(10_000)
        answer = protocol.decode(socket.recv())
        socket.close(linger=0)
        assert answer["error"]["name"] == "ProtocolMismatch" and answer["error"]["remedy"]
    finally:
        kernel.close()


def test_a_result_that_was_tampered_with_is_not_unpickled(
    kernel: Kernel, site: Site, gate: Gate, tmp_path: Path
) -> None:
    """Whoever can write the result file can't run code in the notebook."""
    kernel.batch("1")
    before = set((site.state / "spool" / "jobs").iterdir())
    cell = kernel.run(f"%%batch\n{gate.code}tampered = 'genuine'")
    delivery = Gate(tmp_path / "delivery")
    busy = kernel.send(f"print('begun', flush=True)\n{delivery.code}")  # delivery waits behind it
    kernel.listen(lambda: "begun" in busy.text)
    gate.open()
    (folder,) = set((site.state / "spool" / "jobs").iterdir()) - before
    result = folder / "0.result"
    kernel.listen(lambda: result.exists() and result.stat().st_size)
    evil = pickle.dumps({"code": "that runs"})
    result.write_bytes(evil.ljust(result.stat().st_size))
    delivery.open()
    kernel.finish(busy)
    kernel.listen(lambda: "not taken" in cell.panel)
    assert "signature" in cell.panel and cell.error.startswith("ResultRefused: ")
    assert "signature" in kernel.run("tampered").error
