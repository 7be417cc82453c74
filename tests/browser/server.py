"""A Jupyter server that serves JupyterLab, Notebook 7 and nbclassic at once."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.harness import PATIENCE, Site


@dataclass(frozen=True)
class Server:
    """A running server.

    Parameters
    ----------
    site: the user's folders that it runs with
    folder: where its notebooks are
    """

    site: Site
    folder: Path
    url: str
    token: str

    def ask(self, path: str, method: str = "GET") -> Any:
        """An answer of the server's REST interface.

        Raises
        ------
        OSError: there is no server yet.
        """
        request = urllib.request.Request(
            f"{self.url}/api/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            text = answer.read()
        return json.loads(text) if text else None


@contextmanager
def serve(site: Site) -> Iterator[Server]:
    """A server with that site's folders; its kernels must end with it, and soon after them the broker."""
    folder = site.root / "notebooks"
    folder.mkdir()
    _configure_jupyterlab(site.config.parent)
    server = Server(site, folder, f"http://127.0.0.1:{_free_port()}", secrets.token_hex(16))
    log = site.root / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(server),
            cwd=folder,
            env={**site.environment, "JUPYTER_DATA_DIR": str(site.root / "data")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(server, process, log)
        yield server
    finally:
        _end(server, process)


def _command(server: Server) -> list[str]:
    """What starts the server. Its port was free a moment ago: with another one it must not start."""
    return [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--port={server.url.rpartition(':')[2]}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={server.token}", f"--ServerApp.root_dir={server.folder}",
        "--LabApp.expose_app_in_browser=True", "--JupyterNotebookApp.expose_app_in_browser=True",
        "--NotebookApp.show_banner=False",
    ]  # fmt: skip


def _configure_jupyterlab(config: Path) -> None:
    """JupyterLab asks at its first start whether to fetch news, and looks at each whether it should be built.

    There is no network to fetch from, and nothing to build.
    """
    folder = config / "labconfig"
    folder.mkdir()
    settings = {
        "buildCheck": False,
        "disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True},
    }
    (folder / "page_config.json").write_text(json.dumps(settings))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            server.ask("status")
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(
                    f"the server doesn't answer ({error}); it said:\n{log.read_text()}"
                ) from error
        time.sleep(0.1)


def _end(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Shut the server down. Its kernels end with it, and a while later the broker ends by itself."""
    broker = server.site.broker()
    started = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    if process.poll() is None:
        process.terminate()  # as a service manager does: the server shuts its kernels down first
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    left = psutil.wait_procs([*started, *([broker] if broker else [])], timeout=PATIENCE / 2)[1]
    names = [" ".join(one.cmdline()) for one in left if one.is_running()]
    for one in left:
        one.terminate()
    psutil.wait_procs(left, timeout=PATIENCE / 2)
    assert not names, f"still there half a minute after the server ended: {names}"
