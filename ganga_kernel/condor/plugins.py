"""``python -m ganga_kernel.condor.plugins``: the kinds of URLs that the pool's slots can fetch.

In a process of its own, see `whyidle`. It needs no question, and writes a list of URL schemes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import GangaKernelError
from . import collector
from .bindings import load_bindings

_METHODS = "HasFileTransferPluginMethods"


def schemes(slots: Iterable[Mapping[str, Any]]) -> list[str]:
    """The schemes that some of these slots can fetch, by their ads. Pure."""
    found = (name.strip().lower() for slot in slots for name in str(slot.get(_METHODS, "")).split(","))
    return sorted({name for name in found if name})


def main() -> int:
    """Answer the question. Returns 0, or 1 with a sentence on standard error."""
    try:
        slots = collector.query(load_bindings().AdType.Slot, collector.UNDIVIDED, [_METHODS])
    except GangaKernelError as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(schemes(slots), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
