"""Random numbers: reproducible where a seed is given, and never the same in two items by chance."""

from __future__ import annotations

import importlib
import random
import sys
from typing import Any


def renew(seed: int | None, item: int) -> None:
    """Start the generators of `random` and `numpy.random` anew.

    Parameters
    ----------
    seed: with the item it decides what they give; None: the operating system's randomness does
    """
    if seed is None:
        random.seed()
        numpy: Any = sys.modules.get("numpy.random")
        if numpy is not None:
            numpy.seed()
        return
    random.seed(f"{seed} {item}")
    try:
        numpy = importlib.import_module("numpy.random")  # the cell may import it later
    except ImportError:
        return
    numpy.seed([seed, item])
