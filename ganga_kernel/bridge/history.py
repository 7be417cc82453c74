"""The inner kernel's part in cells that run elsewhere: one In[n] counter and one history for all."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
from functools import partial
from typing import Any

from IPython import get_ipython
from IPython.core.error import UsageError

from ..payload import progress


def hello(magics: list[str], cloudpickle: str) -> None:
    """Settle in, in the inner kernel.

    Should one of our magics reach this kernel, as on a later line of a cell or in an assignment, it says in
    one sentence where it belongs. A magic that is there already stays.

    Parameters
    ----------
    magics: the names of our line magics
    cloudpickle: folder of the package cloudpickle, which is used if this environment has none
    """
    if importlib.util.find_spec("cloudpickle") is None:
        _load_package("cloudpickle", cloudpickle)
    progress.provide()
    shell = get_ipython()
    for name in magics:
        if shell.find_line_magic(name) is None:
            shell.register_magic_function(partial(_misplaced, name), "line", name)
    if shell.find_cell_magic("batch") is None:
        shell.register_magic_function(partial(_misplaced, "batch"), "cell", "batch")


def _load_package(name: str, folder: str) -> None:
    """Load a package from a folder, without adding what lies beside it to the import path."""
    init = os.path.join(folder, "__init__.py")
    spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[folder])
    assert spec is not None and spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def _misplaced(name: str, line: str, cell: str | None = None) -> None:
    if cell is None:
        raise UsageError(f"%{name} must be the first line of a cell of its own, and returns no value.")
    raise UsageError(f"%%{name} must be the first line of a cell.")


def take(source: str, store: bool) -> int:
    """Take the next In[n] for a cell that runs elsewhere, and store its source in the history.

    Without `store` (a request that says ``store_history: false``) only say which number is next.
    """
    shell = get_ipython()
    number = int(shell.execution_count)
    if not store:
        return number
    shell.history_manager.store_inputs(number, source, source)
    shell.execution_count = number + 1
    return number


def name_of(number: int) -> str:
    """The name under which IPython keeps Out[`number`]."""
    return f"_{number}"


def is_shown(name: str) -> bool:
    """Whether IPython keeps a shown value under this name."""
    return re.fullmatch(r"_\d+", name) is not None


def shows(transformed: str) -> bool:
    """Whether a cell's last statement is an expression, whose value becomes Out[n] unless it is None."""
    body = ast.parse(transformed).body
    return bool(body) and isinstance(body[-1], ast.Expr)


def show(number: int, value: Any) -> None:
    """Keep a value as Out[`number`], as if the cell had been run here; as ``_`` if no later cell had one."""
    shell = get_ipython()
    outputs = shell.user_ns["_oh"]
    if any(later > number for later in outputs):
        outputs[number] = value
        shell.push({name_of(number): value}, interactive=False)
        return
    now, hook = shell.execution_count, shell.displayhook
    shell.execution_count = (
        number + now - hook.prompt_count
    )  # the count is one ahead in some versions of IPython
    hook.update_user_ns(value)
    shell.execution_count = now


def evaluate(expressions: dict[str, str]) -> dict[str, Any]:
    """The ``user_expressions`` of a request whose cell ran elsewhere, as its reply has them."""
    values: dict[str, Any] = get_ipython().user_expressions(expressions)
    return values


def compiled(source: str, number: int) -> tuple[str, dict[str, Any] | None]:
    """The cell as Python's own code, and the error that running it would begin with if it can't be compiled.

    The same text as IPython shows for an ordinary cell: the cell counts as In[`number`].
    """
    transformed = ""
    shell = get_ipython()
    try:
        transformed = shell.transform_cell(source)
        name = shell.compile.cache(transformed, number, raw_code=source)
        flags = shell.compile.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compile(shell.compile.ast_parse(transformed, filename=name), name, "exec", flags=flags)
    except (SyntaxError, OverflowError, ValueError, TypeError) as problem:
        traceback = shell.SyntaxTB.structured_traceback(type(problem), problem, [])
        return transformed, {
            "ename": type(problem).__name__,
            "evalue": str(problem),
            "traceback": traceback,
        }
    return transformed, None
