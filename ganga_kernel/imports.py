"""Imports that would take long and bring nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unloaded(module: str) -> Iterator[None]:
    """Let an import of that module fail meanwhile, as if it weren't installed."""
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]
