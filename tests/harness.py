"""A real kernel in a test: started, spoken to and ended through jupyter_client, with a state of its own."""

from __future__ import annotations

import json
import os
import queue
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from ganga_kernel import install

#: Seconds that anything may take on a busy machine.
PATIENCE = 60.0


@dataclass
class Site:
    """A user's folders, apart from the real user's: settings, kernelspec, state and runtime folder."""

    root: Path
    environment: dict[str, str]
    config: Path
    state: Path

    def configure(self, **settings: Any) -> None:
        """Write the configuration file anew."""
        lines = [f"c.GangaKernel.{name} = {value!r}" for name, value in settings.items()]
        self.config.write_text("\n".join(["c = get_config()", *lines, ""]))

    def broker(self) -> psutil.Process | None:
        """The broker of this site, if it runs."""
        try:
            pid = json.loads((self.state / "lease.json").read_text())["pid"]
            return psutil.Process(pid)
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None

    def kill_broker(self) -> None:
        """Kill the broker of this site, without a chance to end in order."""
        broker = self.broker()
        assert broker is not None
        broker.kill()
        broker.wait()

    def leftovers(self) -> list[str]:
        """What is in the runtime folder."""
        runtime = Path(self.environment["XDG_RUNTIME_DIR"]) / "ganga-kernel"
        return sorted(path.name for path in runtime.glob("*"))


@contextmanager
def make_site(within: Path | None = None, **settings: Any) -> Iterator[Site]:
    """A site in a temporary folder, of another one if it is given; its broker is ended with it."""
    root = Path(tempfile.mkdtemp(prefix="gk-test-", dir=within))
    runtime = root / "run"
    runtime.mkdir(mode=0o700)
    config = root / "config"
    config.mkdir()
    install.install(root / "prefix")
    environment = {
        # ipykernel captures no file descriptors where it sees pytest's.
        **{k: v for k, v in os.environ.items() if not k.startswith(("JPY_", "PYTEST_"))},
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_PATH": str(root / "prefix" / "share" / "jupyter"),
        "IPYTHONDIR": str(root / "ipython"),
        "XDG_RUNTIME_DIR": str(runtime),
    }
    site = Site(root, environment, config / "ganga_kernel_config.py", root / "state")
    site.configure(state_dir=str(site.state), **settings)
    try:
        yield site
    finally:
        broker = site.broker()
        if broker is not None:
            broker.terminate()
            broker.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while root.exists():  # a job may write there to its end
            shutil.rmtree(root, ignore_errors=time.monotonic() < deadline)


class Gate:
    """Holds cells and jobs up until the test opens it, so that no test depends on how fast the machine is.

    Attributes
    ----------
    code: Python that waits at the gate
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.code = f"import os, time\nwhile not os.path.exists({str(path)!r}): time.sleep(0.05)\n"

    def open(self) -> None:
        """Let who waits go on."""
        self._path.touch()

    def close(self) -> None:
        """Hold up whoever comes from now on."""
        self._path.unlink(missing_ok=True)


def until(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


@dataclass
class Cell:
    """What came back for one execute_request."""

    id: str
    reply: dict[str, Any] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """The contents of the messages of these types."""
        return [message["content"] for message in self.messages if message["msg_type"] in kinds]

    @property
    def text(self) -> str:
        """What the cell printed."""
        return "".join(content["text"] for content in self.of("stream"))

    @property
    def value(self) -> str | None:
        """The plain text of the cell's last value, or None."""
        found = self.of("execute_result")
        return found[-1]["data"]["text/plain"] if found else None

    @property
    def error(self) -> str:
        """Name and text of the error shown, or empty."""
        found = self.of("error")
        return f"{found[-1]['ename']}: {found[-1]['evalue']}" if found else ""

    @property
    def states(self) -> list[str]:
        """The busy and idle of the request."""
        return [content["execution_state"] for content in self.of("status")]

    @property
    def panels(self) -> list[str]:
        """The panel's texts, one after another."""
        return [
            message["content"]["data"]["text/plain"]
            for message in self.messages
            if message["content"].get("metadata", {}).get("ganga_kernel", {}).get("role") == "panel"
        ]

    @property
    def panel(self) -> str:
        """The panel as it is now."""
        return self.panels[-1] if self.panels else ""

    @property
    def job(self) -> int:
        """The number of the cell's job."""
        return int(self.panel.split(":")[0].removeprefix("Job "))


class Kernel:
    """A running kernel and its client."""

    def __init__(self, site: Site, name: str = install.KERNEL_NAME, cwd: Path | None = None, **env: str):
        self.site = site
        self.folder = cwd or site.root
        specs = KernelSpecManager(kernel_dirs=[str(site.root / "prefix" / "share" / "jupyter" / "kernels")])
        self.manager = KernelManager(kernel_name=name, kernel_spec_manager=specs)
        self.manager.start_kernel(env={**site.environment, **env}, cwd=str(self.folder))
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)
        self.cells: dict[str, Cell] = {}

    @property
    def pid(self) -> int:
        """The wrapper's process."""
        return int(self.manager.provisioner.pid)  # type: ignore[union-attr, attr-defined]

    def processes(self) -> list[psutil.Process]:
        """The wrapper and all below it."""
        wrapper = psutil.Process(self.pid)
        return [wrapper, *wrapper.children(recursive=True)]

    def send(self, code: str, metadata: dict[str, Any] | None = None, **content: Any) -> Cell:
        """Send a cell off as JupyterLab does, with metadata and cellId; the same code is the same cell."""
        request = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {},
            "allow_stdin": False, "stop_on_error": True, **content,
        }  # fmt: skip
        message = self.client.session.msg("execute_request", request)
        message["metadata"] = {"cellId": f"cell-{zlib.crc32(code.encode()):08x}", **(metadata or {})}
        self.client.shell_channel.send(message)
        cell = Cell(message["header"]["msg_id"])
        self.cells[cell.id] = cell
        return cell

    def listen(self, until: Callable[[], Any], patience: float = PATIENCE) -> None:
        """Take messages in until a condition holds."""
        deadline = time.monotonic() + patience
        while not until():
            if time.monotonic() > deadline:
                last = list(self.cells.values())[-3:]
                seen = [([m["msg_type"] for m in cell.messages], cell.panel) for cell in last]
                raise TimeoutError(f"it never came to that; of the last cells was seen: {seen}")
            self._take_in()

    def _take_in(self) -> None:
        try:
            message = self.client.get_iopub_msg(timeout=0.05)
        except queue.Empty:
            pass
        else:
            cell = self.cells.get(message["parent_header"].get("msg_id", ""))
            if cell is not None:
                cell.messages.append(message)
        while self.client.shell_channel.msg_ready():
            reply = self.client.get_shell_msg(timeout=1)
            cell = self.cells.get(reply["parent_header"].get("msg_id", ""))
            if cell is not None:
                cell.reply = reply["content"]

    def finish(self, cell: Cell) -> Cell:
        """Wait until a cell has its reply and its idle."""
        self.listen(lambda: cell.reply and cell.states[-1:] == ["idle"])
        return cell

    def run(self, code: str, metadata: dict[str, Any] | None = None, **content: Any) -> Cell:
        """Run a cell to its idle."""
        return self.finish(self.send(code, metadata, **content))

    def until_panel(self, cell: Cell, *states: str) -> Cell:
        """Wait until a batch cell's panel says one of these states."""
        self.listen(lambda: any(f": {state} (" in cell.panel for state in states))
        return cell

    def batch(self, code: str, state: str = "done", metadata: dict[str, Any] | None = None) -> Cell:
        """Run a batch cell until its panel says that its job ended so."""
        cell = self.run(code if metadata else f"%%batch\n{code}", metadata)
        assert cell.reply["status"] == "ok", cell.error
        return self.until_panel(cell, state)

    def interrupt(self) -> None:
        """Interrupt, as the front end's button does."""
        self.manager.interrupt_kernel()

    def close(self) -> None:
        """Shut the kernel down."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()
