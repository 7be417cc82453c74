"""The wrapper process: puts router, inner kernel and grid kernel together, and ends them together.

The inner kernel takes longest to start: it is on its way before anything big is imported here.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import SettingsError
from .folders import private_folder, runtime_folder, sweep
from .imports import unloaded
from .inner import InnerKernel, cause_of_death
from .version import __version__

if TYPE_CHECKING:
    from .settings import GangaKernel

#: Seconds between switches of Python threads: the router must not wait 5 ms for the grid kernel.
_SWITCH = 0.0005
#: An inner kernel that dies this often within so many seconds isn't started again.
_TOO_OFTEN, _MINUTE = 3, 60.0
#: Stands before the inner kernel's banner.
BANNER = f"ganga-kernel {__version__}: tag a cell 'batch', and it runs on the grid.\n"


def run(connection_file: str, inner: str | None) -> None:
    """Be the kernel of a connection file, until it is shut down.

    Parameters
    ----------
    inner: name of the inner kernel's kernelspec; None for the ipykernel of this interpreter

    Raises
    ------
    GangaKernelError: the kernel can't start.
    """
    sys.setswitchinterval(_SWITCH)
    front = json.loads(Path(connection_file).read_text())
    runtime = runtime_folder()
    folder = private_folder(runtime / f"kernel-{os.getpid()}")
    try:
        wrapper = Wrapper(front, folder, inner)
        sweep(runtime)
        wrapper.run()
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


class Wrapper:
    """The parts of one kernel.

    Parameters
    ----------
    front: the content of the connection file
    folder: private folder for sockets
    inner: see `run`
    """

    def __init__(self, front: dict[str, Any], folder: Path, inner: str | None) -> None:
        self._session = os.urandom(16).hex()
        self._ended = threading.Event()
        self._deaths: list[float] = []
        self._app: Any = None
        self._inner = InnerKernel(folder, front["key"], self._session, inner)
        self._inner.start(self._inner_ended)

        from jupyter_client.connect import write_connection_file
        from jupyter_client.session import Session

        from .notebook import Notebook
        from .router import Router

        key = front["key"].encode()
        self._grid_file = str(folder / "grid.json")
        _, grid = write_connection_file(
            self._grid_file, transport="ipc", ip=str(folder / "grid"), key=key,
            shell_port=1, iopub_port=2, stdin_port=3, control_port=4, hb_port=5,
        )  # fmt: skip
        self._notebook = Notebook(_settings())
        session = Session(key=key, session=self._session)
        self._router = Router(front, self._inner.connection, grid, session, self._notebook, BANNER)

    def run(self) -> None:
        """Serve until the inner kernel ends or this process is told to.

        The inner kernel is on its way already; the grid kernel's libraries are loaded while it starts.
        """
        self._router.start()
        try:
            self._serve()
        finally:
            self._inner.end()
            self._router.stop()
            self._router.join(5)

    def _serve(self) -> None:
        from .calls import Bridge

        with unloaded("ipywidgets"):  # MetaKernel loads it with itself; `controls` does when it is needed
            from .kernel import GangaKernelApp

        self._app = app = GangaKernelApp.instance(outstream_class=None, log_level="ERROR")
        app.interrupted = lambda: self._router.interrupt(self._inner.interrupt)
        app.terminated = self._stop
        app.initialize(["-f", self._grid_file, f"--Session.session={self._session}"])  # type: ignore[no-untyped-call]
        self._notebook.join(Bridge(self._router), app.kernel)
        app.kernel.notebook = self._notebook
        gc.freeze()  # a collection of all that was loaded would stop the router for some 50 ms
        if not self._ended.is_set():
            app.start()  # type: ignore[no-untyped-call]
        self._ended.set()
        self._notebook.close()

    def _inner_ended(self, code: int) -> None:
        """The inner kernel's process is gone. By a shutdown or exit(): end too. It died: start another."""
        now = time.monotonic()
        self._deaths = [death for death in self._deaths if now - death < _MINUTE] + [now]
        if code == 0 or self._app is None or self._ended.is_set() or len(self._deaths) >= _TOO_OFTEN:
            self._stop()
            return
        self._router.inner_died(cause_of_death(code))
        self._app.kernel.io_loop.add_callback(self._start_again)

    def _start_again(self) -> None:
        """In the main thread, whose end the inner kernel's is tied to."""
        self._notebook.forget()
        self._inner.start(self._inner_ended)

    def _stop(self) -> None:
        if self._ended.is_set():
            return
        self._ended.set()
        app = self._app
        if app is not None and app.kernel is not None and hasattr(app.kernel, "io_loop"):
            loop = app.kernel.io_loop
            loop.add_callback(loop.stop)
        else:
            os._exit(1)  # still starting: there is nothing to lose yet


def _settings() -> GangaKernel | SettingsError:
    """The settings, or the error that batch cells will show."""
    from .settings import load

    try:
        return load()
    except SettingsError as error:
        return error
