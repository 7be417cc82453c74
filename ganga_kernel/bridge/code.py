"""What code does, as bytes that are the same in every process. Pure; Python 3.9 and newer.

Read from the code object, which says more than the source: two lambdas of one line are told apart. File
names, line numbers and comments are no part of it. Another minor version of Python compiles to other bytes,
but a function can't travel there either.
"""

from __future__ import annotations

import dis
import hashlib
import marshal
from types import CodeType
from typing import Any

#: What a class body notes about its own text (Python 3.13 and newer).
_OF_THE_TEXT = {"__firstlineno__", "__static_attributes__"}
#: Types of values that have no parts, and no identity that counts.
PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes, type(...)))


def plain(value: Any) -> bytes:
    """A value of a `PLAIN` type as bytes that tell type and value, NaNs and signed zeros included.

    (marshal's format 2, since later ones tell objects apart that are equal.)
    """
    return marshal.dumps(value, 2)


def digest(code: CodeType) -> bytes:
    """What tells a code object from one that does something else."""
    whole = hashlib.sha256()
    head = (
        code.co_name, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags,
        code.co_varnames, code.co_freevars, code.co_cellvars, getattr(code, "co_exceptiontable", b""),
        code.co_consts[:1] if code.co_consts and isinstance(code.co_consts[0], str) else (),  # its docstring
    )  # fmt: skip
    whole.update(_constant(head))
    for instruction in _instructions(code):
        whole.update(_constant((instruction.opname, instruction.argval)))
    return whole.digest()


def _instructions(code: CodeType) -> list[dis.Instruction]:
    kept: list[dis.Instruction] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname == "STORE_NAME" and instruction.argval in _OF_THE_TEXT:
            kept.pop()  # which loads it
        else:
            kept.append(instruction)
    return kept


def _constant(value: Any) -> bytes:
    if type(value) in PLAIN:
        return plain(value)
    if isinstance(value, CodeType):
        return b"\0code\0" + digest(value)
    if isinstance(value, (tuple, frozenset)):
        items = [_constant(item) for item in value]
        if isinstance(value, frozenset):
            items.sort()
        return b"\0%s\0%d\0" % (type(value).__name__.encode(), len(items)) + b"".join(items)
    return b"\0other\0" + plain(repr(value))  # a conversion of an f-string, or a slice
