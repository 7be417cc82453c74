"""A batch cell can't ask for input."""

from __future__ import annotations

import builtins
import getpass
from typing import Any, NoReturn


class StdinNotImplementedError(NotImplementedError):
    """The cell asked for input."""

    # What a traceback shows in front of the name.
    __module__ = "builtins"


def refuse_input() -> None:
    """Make ``input`` and ``getpass`` say so."""
    builtins.input = _refuse
    getpass.getpass = _refuse


def _refuse(prompt: Any = "", *_: Any, **__: Any) -> NoReturn:
    raise StdinNotImplementedError(
        "a batch cell can't ask for input. Ask in an ordinary cell, and use the answer here."
    )
