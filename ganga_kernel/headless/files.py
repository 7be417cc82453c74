"""Notebooks in files: read, and saved."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4

from ..errors import RunError


def read(path: Path) -> NotebookNode:
    """The notebook in a file, in the newest format, in which each cell has an id.

    Raises
    ------
    RunError: there is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        if not isinstance(content, dict) or not content.keys() & {"cells", "worksheets"}:
            raise ValueError("it holds no cells")
        notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
        return v4.upgrade(notebook)  # type: ignore[no-untyped-call,no-any-return]
    except OSError as error:
        raise RunError(f"The notebook {path} can't be read: {error.strerror}.") from error
    except (ValueError, LookupError, AttributeError, TypeError, nbformat.ValidationError) as error:
        raise RunError(f"{path} can't be read as a notebook: {error}.") from error


def check_writable(path: Path) -> None:
    """Find out before hours of work whether their outcome can be saved.

    Raises
    ------
    RunError: it can't.
    """
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        remedy = "Choose a file in a folder that you can write to."
        raise RunError(f"The notebook can't be saved as {path}.", remedy)


def save(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook, in place of what is there.

    Raises
    ------
    RunError: it can't be written.
    """
    text = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"The notebook can't be saved as {path}: {error.strerror}.") from error
