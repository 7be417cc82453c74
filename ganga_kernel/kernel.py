"""The grid kernel: a MetaKernel that answers batch cells and our magics, and nothing else.

Ordinary cells never come here; see `ganga_kernel.router`. What a batch cell does is in
`ganga_kernel.notebook`; this module is its Jupyter side.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from metakernel import MetaKernel
from metakernel._metakernel import MetaKernelApp
from metakernel.magics.help_magic import HelpMagic
from metakernel.magics.magic_magic import MagicMagic

from .errors import GangaKernelError
from .failures import Failure, Interrupted
from .magics import MAGICS
from .magics.base import GangaMagic
from .notebook import Notebook
from .routing import BatchCell, MagicCell, route
from .version import __version__

log = logging.getLogger(__name__)


@dataclass
class Request:
    """What a batch cell's request tells; see `ganga_kernel.notebook.Asking`."""

    parent: dict[str, Any]
    number: int
    late: bool


class GangaKernel(MetaKernel):
    """Answers batch cells and magics. `notebook` must be set before the first message."""

    implementation = "ganga_kernel"
    implementation_version = __version__
    banner = f"ganga-kernel {__version__}: tag a cell 'batch', and it runs on the grid.\n"
    language_info = {"name": "python", "mimetype": "text/x-python", "file_extension": ".py"}
    notebook: Notebook
    #: The number that replies carry, as ipykernel's: of the last cell that went into the history.
    _last_stored = 0

    # ------------------------------------------------------------------ of MetaKernel

    def reload_magics(self) -> None:
        """Register our magics, and the two of MetaKernel's without which it answers no help.

        MetaKernel's own would also load code from the user's folders, and answer names of IPython's.
        """
        self.line_magics: dict[str, Any] = {}
        self.cell_magics: dict[str, Any] = {}
        for magic in (MagicMagic, HelpMagic, *MAGICS):
            self.register_magics(magic)

    def get_usage(self) -> str:
        """The text that help shows for nothing in particular."""
        listed = ", ".join(f"%{magic.name}" for magic in MAGICS)
        return f"Batch cells and their magics: {listed}. See %batch? for options."

    async def do_execute(
        self,
        code: Any,
        silent: Any = False,
        store_history: Any = True,
        user_expressions: Any = None,
        allow_stdin: Any = False,
        *,
        cell_meta: Any = None,
        cell_id: Any = None,
    ) -> dict[str, Any]:
        """Answer a cell that the router sent here.

        In place of MetaKernel's: a batch cell that ends in a comment with ``?`` must not open a pager, and
        an unknown option is an error.
        """
        self.payload: list[dict[str, Any]] = []
        failure: Failure | None
        values: dict[str, Any] = {}
        try:
            if self._not_numbered is not None:
                raise self._not_numbered
            failure = await self._answer(code, cell_meta or {})
            if failure is None:
                values = await self.notebook.evaluate(user_expressions or {})
        except GangaKernelError as error:
            failure = Failure.from_error(error)
        except Interrupted as interrupted:
            failure = Failure.interrupt(interrupted)
        except Exception as error:
            log.exception("in a cell of the grid kernel")
            failure = Failure.bug(error)
        reply: dict[str, Any] = {
            "status": "ok",
            "execution_count": self._last_stored,
            "payload": self.payload,
            "user_expressions": values,
        }
        if failure is not None:
            said = {
                "ename": failure.ename,
                "evalue": failure.evalue,
                "traceback": failure.traceback,
            }
            if not silent and not failure.shown:
                self.send_response(self.iopub_socket, "error", said)
            reply |= {"status": "error", **said}
        return reply

    async def _answer(self, code: str, metadata: dict[str, Any]) -> Failure | None:
        routed = route(code, metadata)
        if isinstance(routed, BatchCell):
            return await self.notebook.run(routed, self.request(), self._captured)
        assert isinstance(routed, MagicCell)
        magic = self.line_magics[routed.name]
        assert isinstance(magic, GangaMagic)
        if routed.help:
            text = magic.get_help("line", routed.name)
            self.payload.append(
                {"source": "page", "start": 0, "data": {"text/plain": text}, "start_line_number": 0}
            )
            return None
        return await magic.run_cell(code)

    def request(self) -> Request:
        """The request that is being answered.

        A front end that sends no cell id, and no session name to the kernel, doesn't show late output: it
        is nbclient or a console.
        """
        parent = self.get_parent("shell")  # type: ignore[no-untyped-call]
        late = "cellId" not in parent["metadata"] and "JPY_SESSION_NAME" not in os.environ
        return Request(parent, self.execution_count, late)

    async def do_shutdown(self, restart: bool) -> dict[str, Any]:
        """Say so; the router and the inner kernel do the rest. MetaKernel's would write a history."""
        return {"status": "ok", "restart": restart}

    # ------------------------------------------------------------------ of ipykernel

    async def execute_request(self, stream: Any, ident: Any, parent: Any) -> None:
        """As ipykernel's, with the inner kernel's next number."""
        self.notebook.begin()
        content = parent["content"]
        self._not_numbered: GangaKernelError | None = None
        self._captured: dict[str, Any] | None = None
        silent = content.get("silent", False)
        store = bool(content.get("store_history", True)) and not silent
        try:
            number, self._captured = await self.notebook.begin_cell(
                content["code"], parent["metadata"], store, not silent
            )
            self.execution_count = number - 1
            self._last_stored = number if store else number - 1
        except GangaKernelError as error:  # the inner kernel died just now
            self._not_numbered = error
        await super().execute_request(stream, ident, parent)  # type: ignore[no-untyped-call]

    def _abort_queues(self, subshell_id: str | None = None) -> None:
        """The router keeps the queue, and aborts it."""

    def pre_handler_hook(self) -> None:
        """The process's SIGINT handler stays in place while a cell is answered."""

    def post_handler_hook(self) -> None:
        """See `pre_handler_hook`."""

    def start(self) -> None:
        """Begin to answer."""
        super().start()  # type: ignore[no-untyped-call]
        self.io_loop.add_callback(self.notebook.start)

    # ------------------------------------------------------------------ ganga_kernel.cells.Screen

    def publish(self, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> None:
        """Send an output of the cell that `parent` is the request of."""
        assert self.session is not None
        topic = self._topic(kind)  # type: ignore[no-untyped-call]
        metadata = content.get("metadata", {}) if kind.endswith("display_data") else {}
        self.session.send(self.iopub_socket, kind, content, parent=parent, ident=topic, metadata=metadata)


class GangaKernelApp(MetaKernelApp):
    """Starts the grid kernel in the wrapper's process.

    It reads no configuration and no working directory: MetaKernel's would execute
    ``ipython_config.py`` and ``metakernel_config.py`` from the notebook's folder, which a plain ipykernel
    doesn't.
    """

    name = "ganga-kernel"
    kernel_class = GangaKernel
    #: What SIGINT and SIGTERM do; to be set before `initialize`.
    interrupted: Callable[[], None]
    terminated: Callable[[], None]

    def load_config_file(self, *args: Any, **kwargs: Any) -> None:
        """Ours is `ganga_kernel.settings`."""

    def init_path(self) -> None:
        """The working directory stays off the import path."""

    def init_signal(self) -> None:
        """SIGINT interrupts what runs, wherever that is; ipykernel's would ignore it."""
        signal.signal(signal.SIGINT, lambda *_: self.interrupted())
        signal.signal(signal.SIGTERM, lambda *_: self.terminated())
