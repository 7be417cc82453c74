"""The file name that ipykernel invents for a cell: it shows in errors, and IPython treats it its own way."""

from __future__ import annotations

import os
import tempfile

_SEED = 0xC70F6907
_FACTOR = 0x5BD1E995
_MASK = 0xFFFFFFFF


def invent(source: str) -> str:
    """The file name for a cell."""
    name = os.environ.get("IPYKERNEL_CELL_NAME")
    folder = os.path.join(tempfile.gettempdir(), f"ipykernel_{os.getpid()}")
    return name or os.path.join(folder, f"{murmur2(source.encode())}.py")


def murmur2(data: bytes, seed: int = _SEED) -> int:
    """MurmurHash2 of 32 bits, as ipykernel computes it: debuggers compute it, too."""
    length = len(data)
    mixed = seed ^ length
    for i in range(0, length & ~3, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _FACTOR & _MASK
        k = (k ^ k >> 24) * _FACTOR & _MASK
        mixed = (mixed * _FACTOR & _MASK) ^ k
    rest = data[length & ~3 :]
    if rest:
        mixed = (mixed ^ int.from_bytes(rest, "little")) * _FACTOR & _MASK
    mixed = (mixed ^ mixed >> 13) * _FACTOR & _MASK
    return mixed ^ mixed >> 15
