"""Values given on the command line, as a cell of the notebook: the same tags as papermill's. Pure."""

from __future__ import annotations

import argparse
import ast
import json
import keyword
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..routing import cell_tags

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: The tag of the cell with the defaults, and that of the cell which overrides them.
DEFAULTS, INJECTED = "parameters", "injected-parameters"


def parse(text: str) -> tuple[str, str]:
    """``name=value`` as the name and the value's Python source.

    Raises
    ------
    argparse.ArgumentTypeError: there is no ``=``, or the name can't be a variable's.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    if not name.isidentifier() or keyword.iskeyword(name):
        raise argparse.ArgumentTypeError(f"{name!r} can't be the name of a variable")
    return name, _source(value)


def _source(value: str) -> str:
    """A value as Python source: JSON if it is that, else a Python literal, else a string."""
    for read in (json.loads, ast.literal_eval):
        try:
            source = repr(read(value))
            ast.literal_eval(source)  # JSON knows NaN and Infinity, which Python has no literal for
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        return source
    return repr(value)


def insert(notebook: NotebookNode, values: Mapping[str, str]) -> None:
    """Put a cell that sets these variables behind the notebook's defaults, or at the top if it has none.

    A cell that was put there by an earlier run is replaced.
    """
    from nbformat import NotebookNode
    from nbformat.v4 import new_code_cell

    if not values:
        return
    source = "\n".join(f"{name} = {value}" for name, value in values.items())
    cell = new_code_cell(source, metadata=NotebookNode(tags=[INJECTED]))  # type: ignore[no-untyped-call]
    tagged = [cell_tags(cell.metadata) for cell in notebook.cells]
    injected = next((i for i, tags in enumerate(tagged) if INJECTED in tags), None)
    if injected is not None:
        notebook.cells[injected] = cell
    else:
        behind = next((i + 1 for i, tags in enumerate(tagged) if DEFAULTS in tags), 0)
        notebook.cells.insert(behind, cell)
