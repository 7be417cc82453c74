"""The inner kernel: a plain ipykernel, which holds the user's code and namespace.

Its process is started here, interrupted and ended. `jupyter_client` would do that as well, but takes a
tenth of a second to import, and whoever starts a kernel waits for it: so the wrapper has the inner kernel on
its way before it loads anything else.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import KernelStartError

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpec

#: Linux, prctl(2): the signal that a process gets when its parent dies.
_PR_SET_PDEATHSIG = 1
#: Commands of a kernelspec that stand for the interpreter of whoever starts it, as in jupyter_client.
_OWN_PYTHON = ("python", "python3", f"python{sys.version_info[0]}.{sys.version_info[1]}")


class InnerKernel:
    """The process of the inner kernel.

    Parameters
    ----------
    folder: private folder for its connection file and sockets
    key: the key that signs messages
    session: the session id that it must use
    name: its kernelspec; None for the ipykernel of this interpreter

    Raises
    ------
    KernelStartError: that kernelspec can't be used.
    """

    def __init__(self, folder: Path, key: str, session: str, name: str | None) -> None:
        channels = ("shell", "iopub", "stdin", "control", "hb")
        #: The content of its connection file.
        self.connection: dict[str, Any] = {
            "transport": "ipc", "ip": str(folder / "inner"), "key": key, "signature_scheme": "hmac-sha256",
            **{f"{channel}_port": number for number, channel in enumerate(channels, 1)},
        }  # fmt: skip
        self._file = folder / "inner.json"
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self._environment = {**os.environ, "JPY_PARENT_PID": str(os.getpid())}
        if name is not None:
            from string import Template

            spec = find_spec(name)
            argv = [sys.executable if spec.argv[0] in _OWN_PYTHON else spec.argv[0], *spec.argv[1:]]
            argv = [word.replace("{resource_dir}", spec.resource_dir) for word in argv]
            self._environment |= {k: Template(v).safe_substitute(os.environ) for k, v in spec.env.items()}
        argv = [word.replace("{connection_file}", str(self._file)) for word in argv]
        self._argv = [*argv, f"--Session.session={session}"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, ended: Callable[[int], None]) -> None:
        """Start it, without waiting for its first word; also once more, at the same addresses.

        It dies with the thread that starts it, also when this process is killed: a kernel that is busy in C
        code can't notice by itself.

        Parameters
        ----------
        ended: called from a thread, with the return code, when the process has ended
        """
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self.connection, file)
        libc = ctypes.CDLL(None)
        try:
            self._process = process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,
                preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
            )
        except OSError as error:
            raise KernelStartError(f"The notebook's Python can't be started: {error}.") from error
        threading.Thread(target=lambda: ended(process.wait()), name="inner kernel's end", daemon=True).start()

    def interrupt(self) -> None:
        """Send SIGINT to it and to the processes that it started."""
        self._signal(signal.SIGINT)

    def end(self) -> None:
        """End it at once, with the processes that it started."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)


def find_spec(name: str) -> KernelSpec:
    """The kernelspec of that name, if it can be an inner kernel.

    Raises
    ------
    KernelStartError: there is none, or it isn't ipykernel's.
    """
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    manager = KernelSpecManager()
    try:
        spec = manager.get_kernel_spec(name)
    except NoSuchKernel as error:
        known = ", ".join(sorted(manager.find_kernel_specs()))
        raise KernelStartError(f"There is no kernelspec {name!r}.", f"Known are: {known}.") from error
    if not any("ipykernel" in word for word in spec.argv):
        raise KernelStartError(
            f"The kernelspec {name!r} isn't ipykernel's (its command is {' '.join(spec.argv)}).",
            "Only an ipykernel can be wrapped for now.",
        )
    return spec


def cause_of_death(code: int) -> str:
    """A sentence on the return code of an inner kernel that died."""
    if code == -signal.SIGKILL:
        why = "it was killed (SIGKILL), as the system does with a process that uses too much memory"
    elif code == -signal.SIGSEGV:
        why = "it crashed in compiled code (SIGSEGV)"
    elif code < 0:
        why = f"it was ended by {signal.Signals(-code).name}"
    else:
        why = f"its process ended with exit code {code}"
    return f"The notebook's Python died: {why}. A new one was started, with an empty namespace; jobs go on."
