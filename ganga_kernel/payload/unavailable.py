"""What stands for a value that couldn't travel."""

from __future__ import annotations

from typing import Any, NoReturn


class UnavailableError(RuntimeError):
    """A variable was used whose value couldn't travel."""

    # What a traceback shows in front of the name.
    __module__ = "builtins"


class Unavailable:
    """Stands for a variable whose value couldn't travel. Any use but `repr` raises
    `UnavailableError`.

    Parameters
    ----------
    name: the variable
    reason: why its value couldn't travel, as a clause: "a generator can't be pickled"
    """

    __slots__ = ("_ganga_name", "_ganga_reason")

    def __init__(self, name: str, reason: str) -> None:
        object.__setattr__(self, "_ganga_name", name)
        object.__setattr__(self, "_ganga_reason", reason)

    def __repr__(self) -> str:
        return "<{} is unavailable: {}>".format(*_parts(self))

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        _refuse(self)


def reason_of(value: Unavailable) -> str:
    """Why the value couldn't travel."""
    return _parts(value)[1]


def _parts(value: Unavailable) -> tuple[str, str]:
    return (
        object.__getattribute__(value, "_ganga_name"),
        object.__getattribute__(value, "_ganga_reason"),
    )


def _refuse(value: Unavailable, *_: Any, **__: Any) -> NoReturn:
    raise UnavailableError("{} is unavailable here: {}.".format(*_parts(value)))


_OPERATIONS = (
    "getattr setattr delattr call len iter next contains getitem setitem delitem reversed "
    "bool int float complex index round trunc floor ceil str format bytes hash fspath eq ne "
    "lt le gt ge neg pos abs invert add sub mul matmul truediv floordiv mod divmod pow lshift "
    "rshift and xor or radd rsub rmul rmatmul rtruediv rfloordiv rmod rdivmod rpow rlshift "
    "rrshift rand rxor ror iadd isub imul imatmul itruediv ifloordiv imod ipow ilshift "
    "irshift iand ixor ior enter exit await aiter anext aenter aexit array array_ufunc copy "
    "deepcopy mro_entries instancecheck "
).split()
for _operation in _OPERATIONS:
    setattr(Unavailable, f"__{_operation}__", _refuse)
