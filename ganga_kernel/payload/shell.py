# mypy: allow-untyped-calls
# (Much of IPython carries no types.)
"""Run a cell with IPython, as ipykernel does."""

from __future__ import annotations

import os
import shutil
import tempfile
import types
from typing import Any

from IPython.core import page
from IPython.core.autocall import ZMQExitAutocall
from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell, InteractiveShellABC
from IPython.utils import process
from traitlets import Any as AnyTrait
from traitlets import Instance, Type, default
from traitlets.config import Config

from . import cellname, tracebacks
from .outputs import Outputs


class _Publisher(DisplayPublisher):
    """Displays become outputs."""

    outputs: Outputs

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: Any = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **kwargs: Any,
    ) -> None:
        """Send ``display_data`` or, if it updates one, ``update_display_data``."""
        content = {"data": data, "metadata": metadata or {}, "transient": transient or {}}
        self.outputs.show("update_display_data" if update else "display_data", content)

    def clear_output(self, wait: bool = False) -> None:
        """Send ``clear_output``."""
        self.outputs.show("clear_output", {"wait": wait})


class _Hook(DisplayHook):
    """The last expression becomes an ``execute_result``."""

    outputs: Outputs
    content: dict[str, Any] | None = None

    def start_displayhook(self) -> None:
        self.content = {"data": {}, "metadata": {}}

    def write_output_prompt(self) -> None:
        if self.content is not None:
            self.content["execution_count"] = self.prompt_count

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        if self.content is not None:
            self.content.update(data=format_dict, metadata=md_dict)

    def finish_displayhook(self) -> None:
        content, self.content = self.content, None
        if content is not None and content["data"]:
            self.outputs.show("execute_result", content)


class _Compiler(CachingCompiler):
    """Names cells as ipykernel does."""

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        return cellname.invent(raw_code)


class ZMQInteractiveShell(InteractiveShell):
    """IPython's shell in a batch cell.

    It has the name of ipykernel's, and its `kernel` attribute, because libraries know by them that
    they may show rich output.
    """

    displayhook_class = Type(_Hook)
    display_pub_class = Type(_Publisher)
    compiler_class = Type(_Compiler)
    exiter = Instance(ZMQExitAutocall)
    kernel = AnyTrait(None)
    keepkernel_on_exit = None

    #: Set before the instance is made.
    outputs: Outputs
    folder: str

    #: What the cell showed as its error: ``ename``, ``evalue``, ``traceback``.
    shown_error: dict[str, Any] | None = None
    #: Whether it came from displaying the last expression, which fails a cell, as in ipykernel.
    result_failed = False

    @default("exiter")
    def _default_exiter(self) -> ZMQExitAutocall:
        return ZMQExitAutocall(self)

    def init_ipython_dir(self, ipython_dir: Any) -> None:
        """Use a folder of our own: the user's profile is not to be written from everywhere."""
        self.ipython_dir = self.folder

    def init_virtualenv(self) -> None:
        """Nothing: the import path is the notebook's."""

    def init_environment(self) -> None:
        """Set what ipykernel sets for child processes."""
        os.environ.update(
            TERM="xterm-color", CLICOLOR="1", FORCE_COLOR="1", CLICOLOR_FORCE="1", PAGER="cat",
            GIT_PAGER="cat",
        )  # fmt: skip

    def init_display_pub(self) -> None:
        """Connect it to the outputs."""
        super().init_display_pub()
        display_pub: Any = self.display_pub
        display_pub.outputs = self.outputs

    def init_displayhook(self) -> None:
        """Connect it to the outputs."""
        super().init_displayhook()
        displayhook: Any = self.displayhook
        displayhook.outputs = self.outputs

    def init_hooks(self) -> None:
        """What would open a pager is displayed."""
        super().init_hooks()
        self.set_hook("show_in_pager", page.as_hook(self._show_page), 99)

    def _show_page(self, text: Any, start: int = 0, screen_lines: int = 0, pager_cmd: Any = None) -> None:
        self.display_pub.publish(text if isinstance(text, dict) else {"text/plain": text})

    def ask_exit(self) -> None:
        """``exit`` in a cell: its process ends after the cell anyway."""

    def enable_gui(self, gui: Any = None) -> None:
        """Refuse an event loop: nobody can use its windows."""
        if gui is not None:
            raise UsageError(f"A batch cell has no event loop for {gui}.")

    def system_piped(self, cmd: str) -> None:
        """Run a command as ipykernel does, through a terminal whose output is shown while it
        runs."""
        if cmd.rstrip().endswith("&"):
            raise OSError("Background processes not supported.")
        run: Any = vars(process)["system"]
        self.user_ns["_exit_code"] = run(self.var_expand(cmd, depth=1))

    system = system_piped

    def _get_exc_info(self, exc_tuple: Any = None) -> Any:
        etype, value, tb = super()._get_exc_info(exc_tuple)
        if value.__traceback__ is tb:
            tracebacks.strip(value)
            tb = value.__traceback__
        return etype, value, tb

    def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
        self.shown_error = {
            "ename": str(etype.__name__),
            "evalue": str(evalue),
            "traceback": list(stb),
        }
        hook: Any = self.displayhook
        self.result_failed = self.result_failed or hook.content is not None
        self.outputs.show("error", self.shown_error)


InteractiveShellABC.register(ZMQInteractiveShell)


class Runner:
    """Runs one cell in a module's namespace.

    Parameters
    ----------
    module: the ``__main__`` of the cell
    colors: IPython's colour scheme; None for its default
    """

    def __init__(self, module: types.ModuleType, outputs: Outputs, colors: str | None) -> None:
        config = Config()
        config.HistoryAccessor.enabled = False
        config.HistoryManager.enabled = False
        config.HistoryManager.hist_file = ":memory:"
        self._folder = tempfile.mkdtemp(prefix="ipython-")
        ZMQInteractiveShell.outputs = outputs
        ZMQInteractiveShell.folder = self._folder
        self._shell: Any = ZMQInteractiveShell.instance(config=config, user_module=module)
        if colors:
            self._set_colors(colors)
        self._count_blank_lines()
        #: What the cell raised, as far as IPython tells.
        self.exception: BaseException | None = None

    def hidden(self) -> dict[str, Any]:
        """Names that IPython itself put into the namespace, with their values."""
        return dict(self._shell.user_ns_hidden)

    def renew(self) -> None:
        """Begin anew with a fresh namespace."""
        self._shell.reset(new_session=False)
        self._shell.shown_error, self._shell.result_failed = None, False
        self.exception = None

    def run(self, source: str, number: int) -> dict[str, Any] | None:
        """Run a cell as In[`number`]; returns its error, if there is one."""
        shell = self._shell
        shell.execution_count = number
        history = shell.history_manager
        for inputs in (history.input_hist_raw, history.input_hist_parsed):
            inputs.extend([""] * (number - len(inputs)))
        result = shell.run_cell(source, store_history=True)
        self.exception = error = result.error_before_exec or result.error_in_exec
        if error is None:
            shown: dict[str, Any] | None = shell.shown_error
            return shown if shell.result_failed else None
        traceback = (shell.shown_error or {}).get("traceback", [])
        return {"ename": type(error).__name__, "evalue": str(error), "traceback": traceback}

    def close(self) -> None:
        """Remove the folder that the shell used."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _set_colors(self, colors: str) -> None:
        try:
            self._shell.colors = colors
        except Exception:  # noqa: BLE001 - IPython's versions raise different ones
            self._shell.log.warning("This IPython has no colour scheme %r", colors)

    def _count_blank_lines(self) -> None:
        """Keep a cell's leading empty lines, so that the lines after them have their own numbers.

        One stands for a ``%%batch`` line. IPython removes them first; they are put back last,
        unless a cell magic follows, which looks at its own lines only.
        """
        blank: list[str] = []

        def remember(lines: list[str]) -> list[str]:
            count = next((i for i, line in enumerate(lines) if line.strip()), 0)
            blank[:] = ["\n"] * count
            return lines[count:]

        def put_back(lines: list[str]) -> list[str]:
            is_magic = bool(lines) and lines[0].startswith("get_ipython().run_cell_magic(")
            return lines if is_magic else blank + lines

        manager = self._shell.input_transformer_manager
        manager.cleanup_transforms.insert(0, remember)
        manager.line_transforms.append(put_back)


def choose_matplotlib_backend() -> None:
    """What ipykernel chooses, where that is there; matplotlib itself is not imported."""
    from importlib.util import find_spec

    inline = "module://matplotlib_inline.backend_inline"
    if find_spec("matplotlib_inline") is None:
        if os.environ.get("MPLBACKEND", inline) == inline:
            os.environ["MPLBACKEND"] = "Agg"
    else:
        os.environ.setdefault("MPLBACKEND", inline)
