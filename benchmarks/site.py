"""A user of the benchmark's own: settings, state and sockets apart from the real user's."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

#: Seconds that a broker has to end.
_PATIENCE = 30.0


@dataclass(frozen=True)
class Site:
    """The folders of that user, and the environment that leads to them."""

    root: Path
    environment: dict[str, str]

    @property
    def state(self) -> Path:
        """The broker's state folder."""
        return self.root / "state"

    @property
    def jobs(self) -> Path:
        """Where the spool keeps a folder for each job."""
        return self.state / "spool" / "jobs"

    def broker(self) -> psutil.Process | None:
        """The broker, if it runs."""
        try:
            return psutil.Process(json.loads((self.state / "lease.json").read_text())["pid"])
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None

    def end_broker(self) -> None:
        """End the broker, and wait for it."""
        broker = self.broker()
        if broker is None:
            return
        try:
            broker.terminate()
            broker.wait(_PATIENCE)
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired:
            broker.kill()


@contextmanager
def make_site(environment: dict[str, str], **settings: Any) -> Iterator[Site]:
    """A site in a temporary folder, which goes with it.

    Parameters
    ----------
    environment: variables on top of this process's, e.g. those that lead to an HTCondor pool
    settings: traits of `ganga_kernel.settings.GangaKernel`
    """
    root = Path(tempfile.mkdtemp(prefix="gk-bench-"))
    for name in ("run", "config", "work"):
        (root / name).mkdir(mode=0o700)
    site = Site(root, {**_mine(), **environment, **_folders(root)})
    lines = [f"c.GangaKernel.{name} = {value!r}" for name, value in settings.items()]
    lines = ["c = get_config()", f"c.GangaKernel.state_dir = {str(site.state)!r}", *lines, ""]
    (root / "config" / "ganga_kernel_config.py").write_text("\n".join(lines))
    try:
        yield site
    finally:
        site.end_broker()
        shutil.rmtree(root, ignore_errors=True)


def _mine() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("JPY_")}


def _folders(root: Path) -> dict[str, str]:
    return {
        "JUPYTER_CONFIG_DIR": str(root / "config"),
        "JUPYTER_RUNTIME_DIR": str(root / "run"),
        "IPYTHONDIR": str(root / "ipython"),
        "XDG_RUNTIME_DIR": str(root / "run"),
        "JPY_SESSION_NAME": str(root / "work" / "benchmark.ipynb"),  # as Jupyter's server says it
    }
