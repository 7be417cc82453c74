"""Where a check plays: one running kernel with fresh clients; and the register of checks."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganga_kernel import install
from tests.environments import wrap
from tests.harness import Kernel, Site
from tests.transparent.compare import Row, Scribe, Transcript, accepted, differences
from tests.transparent.talk import Client, Request

#: A pipe in the kernel's folder.
_GATE = "gate"
#: Starts every check from In[1] with an empty namespace, but for what waits for a job.
_FRESH = """
def _fresh():
    shell = get_ipython()
    names = shell.user_ns
    kept = {name: names[name] for name in list(names) if name.startswith('held_')}
    shell.reset(new_session=True)
    shell.kernel.comm_manager.comms.clear()
    shell.kernel.comm_manager.targets.clear()
    shell.user_ns.update(kept)
_fresh()
"""


@dataclass
class Stage:
    """A kernel, the clients that play, and what the check noted.

    Attributes
    ----------
    gate: a statement that waits until `open_gate`
    """

    kernel: Kernel
    connection: dict[str, Any]
    clients: list[Client] = field(default_factory=list)
    notes: list[Any] = field(default_factory=list)
    gate: str = f"gate = open({_GATE!r}).read()"

    def __post_init__(self) -> None:
        self._gate = self.kernel.folder / _GATE
        if not self._gate.exists():
            os.mkfifo(self._gate)

    def client(self, identity: bytes | None = None, topic: bytes = b"") -> Client:
        """One more front end."""
        client = Client(self.connection, identity, topic)
        self.clients.append(client)
        client.others = self.clients
        return client

    def note(self, value: Any) -> None:
        """Have a value compared."""
        self.notes.append(value)

    def open_gate(self) -> None:
        """Let the code that waits at the gate go on, after what was sent has arrived."""
        client = self.clients[0]
        client.listen(0.2)
        client.until(self._opened)

    def _opened(self) -> bool:
        try:
            os.close(os.open(self._gate, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody waits there yet
            return False
        return True

    def interrupt(self, request: Request | None = None, by: str = "signal") -> None:
        """Interrupt as the front end's button does, once a cell has said that it begins."""
        client = self.clients[0]
        if request is not None:
            client.until(lambda: "begun" in request.text)
            client.listen(0.5)  # so that it is well inside what follows
        if by == "signal":
            self.kernel.interrupt()
        else:
            client.ask("interrupt_request", {}, channel="control")


#: The kinds of kernels; see `Theatre`.
KINDS = ("plain", "idle", "pending")

Play = Callable[[Stage, Client], None]


@dataclass(frozen=True)
class Check:
    """Something that front ends do.

    Attributes
    ----------
    play: does it
    ordered: whether the order of messages of different requests is compared
    own: whether it needs a kernel for itself, which it ends
    without: types of messages that aren't compared: their number or place is a matter of timing
    """

    play: Play
    ordered: bool
    own: bool
    without: tuple[str, ...]


CHECKS: dict[str, Check] = {}


def check(ordered: bool = True, own: bool = False, without: tuple[str, ...] = ()) -> Callable[[Play], Play]:
    """Register a function as a check."""

    def register(play: Play) -> Play:
        CHECKS[play.__name__] = Check(play, ordered, own, without)
        return play

    return register


class Theatre:
    """Kernels of several kinds on one site, kept until one is spoiled.

    The kinds: ``plain`` ipykernel; ``idle``, ours; ``pending``, ours while a job runs that will bind a name,
    so that the router asks before each cell.

    Parameters
    ----------
    python: the interpreter whose ipykernel plays, and is wrapped; None for this one, wrapped as by default
    """

    def __init__(self, site: Site, python: Path | None = None) -> None:
        self._site = site
        self._running: dict[str, Kernel] = {}
        wrapped = wrap(site, python or Path(sys.executable))
        ours = wrapped if python is not None else install.KERNEL_NAME
        self._names = {"plain": "other", "idle": ours, "pending": ours}

    def kernel(self, kind: str) -> Kernel:
        """The running kernel of this kind."""
        if kind not in self._running:
            self._running[kind] = self._start(kind)
        return self._running[kind]

    def close(self) -> None:
        """End all; the next ones are fresh."""
        for kernel in self._running.values():
            kernel.manager.shutdown_kernel(now=True)
        self._running.clear()
        for sign in self._site.root.glob("held-*"):
            sign.unlink()

    def _start(self, kind: str) -> Kernel:
        home = self._site.root / kind
        shutil.rmtree(home, ignore_errors=True)  # so that all count sessions from one
        folder = home / "notebooks"
        folder.mkdir(parents=True)
        # A kernel of ours that wraps no kernelspec has none that says so.
        environment = {"IPYTHONDIR": str(home / "ipython"), "FROM_SPEC": "yes"}
        kernel = Kernel(self._site, self._names[kind], folder, **environment)
        if kind == "pending":
            sign = self._site.root / f"held-{kernel.pid}"
            sign.touch()
            wait = f"while os.path.exists({str(sign)!r}): time.sleep(0.2)"
            cell = kernel.run(f"%%batch\nimport os, time\n{wait}\nheld_back = 1")
            assert cell.reply["status"] == "ok", cell.error
        kernel.client.stop_channels()
        return kernel


def connection_of(kernel: Kernel) -> dict[str, Any]:
    """The content of a kernel's connection file."""
    found: dict[str, Any] = json.loads(Path(kernel.manager.connection_file).read_text())
    return found


def play(kernel: Kernel, one: Check, pending: bool = False) -> Transcript:
    """Play a check on a kernel; `pending` if a name should be."""
    stage = Stage(kernel, connection_of(kernel))
    try:
        client = stage.client()
        asked = {"held": "'held_back' in get_ipython().user_ns"}
        fresh = client.run(_FRESH, silent=True, store_history=False, user_expressions=asked)
        assert fresh.reply["user_expressions"]["held"]["data"]["text/plain"] == str(pending)
        client.begin()
        one.play(stage, client)
        if not one.own:
            client.listen(0.02)  # what nobody should send any more
        return Scribe(stage.connection).write(stage.clients, stage.notes, one.ordered, one.without)
    finally:
        for client in stage.clients:
            client.close()


def grid_answers(kernel: Kernel) -> bool:
    """Whether a cell of the grid kernel, which waits for all before it, is answered."""
    client = Client(connection_of(kernel))
    try:
        request = client.execute("%batch?")
        client.finish(request)
    except TimeoutError:
        return False
    finally:
        client.close()
    return True


def compare(theatre: Theatre, name: str, kinds: tuple[str, ...] = KINDS) -> tuple[list[str], set[Row]]:
    """Play a check on kernels of several kinds at once.

    Returns
    -------
    What failed, or differs from the first kind and isn't accepted; and the accepted differences that showed.
    """
    one = CHECKS[name]
    kernels = {kind: theatre.kernel(kind) for kind in kinds}
    with ThreadPoolExecutor(len(kinds)) as pool:
        playing = {
            kind: pool.submit(play, kernel, one, kind == "pending") for kind, kernel in kernels.items()
        }
    failures = [f"{kind}: {error!r}" for kind, future in playing.items() if (error := future.exception())]
    if not failures and not one.own:
        failures = [
            f"{kind}: a cell of the grid kernel, which waits for all before it, hangs"
            for kind in kinds[1:]
            if not grid_answers(kernels[kind])
        ]
    if failures or one.own:
        theatre.close()  # all: a kernel's past must not tell them apart
    if failures:
        return failures, set()
    met: set[Row] = set()
    plain = playing[kinds[0]].result()
    for kind in kinds[1:]:
        for found in differences(plain, playing[kind].result()):
            covering = {row for row in accepted() if row.covers(name, kind, found)}
            met |= covering
            if not covering:
                failures.append(f"{kind}: {found}")
    return failures, met
