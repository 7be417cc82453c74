"""The content of NumPy's arrays and pandas' frames, without copies of it.

Neither is imported: where one isn't loaded, no value is of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

#: Bytes that are looked at in one piece.
_BLOCK = 1 << 24
#: NumPy's letters for numbers, times, texts and objects: all that one of their types is, its short name says.
_WITHOUT_PARTS = "biufcmMSUO"


def is_array(kind: type) -> bool:
    """Whether values of a class are arrays or scalars of NumPy's.

    An array of a subclass that is pickled in a way of its own isn't: it may hold more.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return False
    if issubclass(kind, numpy.generic):
        return True
    plain = numpy.ndarray
    pickled = (kind.__reduce_ex__, kind.__reduce__) == (plain.__reduce_ex__, plain.__reduce__)
    return issubclass(kind, plain) and pickled


def is_dtype(kind: type) -> bool:
    """Whether values of a class are NumPy's types of array items."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(kind, numpy.dtype)


def spell(dtype: Any) -> str:
    """A type of array items as text, but for its metadata."""
    return str(dtype.str) if dtype.kind in _WITHOUT_PARTS else repr(dtype)


def is_frame(kind: type) -> bool:
    """Whether values of a class are data frames of pandas'."""
    return kind.__qualname__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas"


def plain(value: Any) -> Any:
    """An array or scalar of NumPy's as an array that is no more than that."""
    numpy = sys.modules["numpy"]
    return numpy.asarray(value).view(numpy.ndarray)


def by_columns(array: Any) -> bool:
    """Whether an array lies in memory column by column, as it also does after it travelled."""
    return bool(array.flags.f_contiguous and not array.flags.c_contiguous)


def blocks(array: Any) -> Iterator[Any]:
    """The bytes of an array that holds no objects, in its own order, in pieces."""
    numpy = sys.modules["numpy"]
    array = array.T if by_columns(array) else array
    if not array.nbytes:
        return
    if array.dtype.char in "gG" and numpy.finfo(array.dtype).nmant == 63:  # 10 bytes, filled up to more
        whole = numpy.ascontiguousarray(array).reshape(-1).view("u1")
        array = whole.reshape(-1, numpy.longdouble(0).itemsize)[:, :10]
    if array.flags.c_contiguous:
        whole = array.reshape(-1).view("u1")
        for begin in range(0, len(whole), _BLOCK):
            yield whole[begin : begin + _BLOCK]
        return
    pieces = numpy.nditer(
        array, ["external_loop", "buffered"], [["readonly", "contig"]], order="C",
        buffersize=_BLOCK // array.itemsize + 1,
    )  # fmt: skip
    for piece in pieces:
        yield piece.view("u1")


def memory(array: Any) -> Any:
    """The bytes of an array that `blocks` gives in pieces, as one array; None if they don't lie so."""
    array = array.T if by_columns(array) else array
    if not array.flags.c_contiguous or array.dtype.char in "gG":
        return None
    return array.reshape(-1).view("u1")


def of_frame(frame: Any) -> list[Any]:
    """What a data frame consists of, column by column.

    Its own blocks depend on what was done with it, and are merged when it is merely looked at.
    """
    columns = [frame.iloc[:, i].array for i in range(frame.shape[1])]
    return [frame.index, frame.columns, frame.attrs, frame.flags.allows_duplicate_labels, *columns]
