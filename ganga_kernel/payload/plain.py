"""Run a cell where IPython isn't installed: Python as it is, with the last expression and rich
displays."""

from __future__ import annotations

import ast
import asyncio
import builtins
import inspect
import io
import itertools
import linecache
import os
import sys
import tokenize
import traceback
import types
import warnings
from typing import Any

from . import tracebacks
from .outputs import Outputs

#: The methods by which an object shows itself, as in IPython.
_METHODS = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png",
    "_repr_jpeg_": "image/jpeg",
    "_repr_pdf_": "application/pdf",
    "_repr_latex_": "text/latex",
    "_repr_json_": "application/json",
    "_repr_javascript_": "application/javascript",
}


class Runner:
    """Runs one cell in a module's namespace.

    Parameters
    ----------
    module: the ``__main__`` of the cell
    colors: of no use here
    """

    def __init__(self, module: types.ModuleType, outputs: Outputs, colors: str | None) -> None:
        self._namespace = module.__dict__
        self._own = dict(module.__dict__)
        #: What the cell raised.
        self.exception: BaseException | None = None
        self._outputs = outputs
        self._display_ids = itertools.count(1)
        builtins.display = self._display  # type: ignore[attr-defined]

    def hidden(self) -> dict[str, Any]:
        """Names that this runner put into the namespace: none."""
        return {}

    def renew(self) -> None:
        """Begin anew with a fresh namespace."""
        self._namespace.clear()
        self._namespace.update(self._own)
        self.exception = None

    def run(self, source: str, number: int) -> dict[str, Any] | None:
        """Run a cell as In[`number`]; returns its error, if there is one."""
        try:
            self._run(source, number)
            self._show_figures()
        except BaseException as error:  # noqa: BLE001 - SystemExit ends a cell, too
            self.exception = error
            tracebacks.strip(error)
            tracebacks.begin_in(error, _cell_name(number))
            lines = traceback.format_exception(type(error), error, error.__traceback__)
            content = {
                "ename": type(error).__name__,
                "evalue": str(error),
                "traceback": "".join(lines).rstrip("\n").split("\n"),
            }
            self._outputs.show("error", content)
            return content
        return None

    def close(self) -> None:
        """Nothing to do."""

    def _run(self, source: str, number: int) -> None:
        name = _cell_name(number)
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        tree = ast.parse(source, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        self._execute(tree, name, "exec")
        if isinstance(last, ast.Expr):
            value = self._execute(ast.Expression(last.value), name, "eval")
            if value is not None and not _ends_in_semicolon(source):
                self._namespace[f"_{number}"] = value
                data, metadata = _bundle(value)
                content = {"data": data, "metadata": metadata, "execution_count": number}
                self._outputs.show("execute_result", content)

    def _execute(self, tree: Any, name: str, mode: str) -> Any:
        code = compile(tree, name, mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        value = eval(code, self._namespace)
        if code.co_flags & inspect.CO_COROUTINE:
            return asyncio.run(value)
        return value

    def _display(self, *objects: Any, **options: Any) -> None:
        """Show objects, as ``IPython.display.display`` does."""
        display_id = options.get("display_id")
        if display_id is True:
            display_id = f"plain-{next(self._display_ids)}"
        kind = "update_display_data" if options.get("update") else "display_data"
        for value in objects:
            data, metadata = (value, {}) if options.get("raw") else _bundle(value)
            metadata.update(options.get("metadata") or {})
            transient = {} if display_id is None else {"display_id": display_id}
            content = {"data": data, "metadata": metadata, "transient": transient}
            self._outputs.show(kind, content)

    def _show_figures(self) -> None:
        """Show the figures that the cell left open, if it used matplotlib."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is None:
            return
        for number in pyplot.get_fignums():
            figure = pyplot.figure(number)
            image = io.BytesIO()
            figure.savefig(image, format="png", bbox_inches="tight")
            data = {"text/plain": repr(figure), "image/png": image.getvalue()}
            self._outputs.show("display_data", {"data": data, "metadata": {}, "transient": {}})
        pyplot.close("all")


def choose_matplotlib_backend() -> None:
    """Pictures only: the notebook's own backend needs IPython. matplotlib itself is not
    imported."""
    os.environ["MPLBACKEND"] = "Agg"
    warnings.filterwarnings("ignore", message=".*non-interactive, and thus cannot be shown")


def _cell_name(number: int) -> str:
    return f"Cell In[{number}]"


def _ends_in_semicolon(source: str) -> bool:
    """Whether a cell, which can be compiled, asks not to show its last value."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = [t for t in tokens if t.string.strip() and t.type != tokenize.COMMENT]
    return bool(code) and code[-1].string == ";"


def _bundle(value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an object shows, by MIME type, and metadata."""
    data: dict[str, Any] = {"text/plain": repr(value)}
    metadata: dict[str, Any] = {}
    if isinstance(value, type):
        return data, metadata
    for method, mime in _METHODS.items():
        if callable(getattr(type(value), method, None)):
            _add(data, metadata, mime, getattr(value, method)())
    if callable(getattr(type(value), "_repr_mimebundle_", None)):
        bundle = value._repr_mimebundle_(include=None, exclude=None)
        more, about = bundle if isinstance(bundle, tuple) else (bundle, {})
        data.update(more or {})
        metadata.update(about)
    return data, metadata


def _add(data: dict[str, Any], metadata: dict[str, Any], mime: str, shown: Any) -> None:
    if isinstance(shown, tuple):
        shown, metadata[mime] = shown
    if shown is not None:
        data[mime] = shown
