"""The local variables of a failed cell, as the payload tells them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ganga_kernel.payload.frames import frames_of


class Awkward:
    @property
    def __class__(self) -> type:  # type: ignore[override]
        raise RuntimeError

    def __repr__(self) -> str:
        raise SystemExit


@dataclass
class Large:
    """Its own repr would be long."""

    rows: list[int]
    name: str = "n"


def failing(code: str, **names: Any) -> BaseException:
    """The error that a cell raises."""
    with pytest.raises(Exception) as caught:
        exec(compile(code, "<cell>", "exec"), names)
    error: BaseException = caught.value
    error.__traceback__ = error.__traceback__.tb_next if error.__traceback__ else None  # without this frame
    return error


def test_frames_end_with_the_innermost_one_and_hold_what_they_use() -> None:
    code = "import math\ndef f(x):\n    y = x - 1\n    return x / y\nunused = 1\nf(one)"
    cell, inner = frames_of(failing(code, one=1, other=2))
    assert (cell["function"], cell["line"]) == ("<module>", 6)
    assert cell["names"] == {"unused": "1", "one": "1"}
    assert inner == {"function": "f", "line": 4, "names": {"x": "1", "y": "0"}}


def test_values_are_short_whatever_they_are() -> None:
    names = {
        "long": "x" * 10**6,
        "many": list(range(10**6)),
        "awkward": Awkward(),
        "deep": {"a": [[[[[[1]]]]]]},
        "large": Large(list(range(10**6))),
        "half": 0.5,
        "raw": bytes(10**7),
        "view": dict.fromkeys(range(10**6)).keys(),
        "array": np.arange(10**6),
    }
    (cell,) = frames_of(failing("long, many, awkward, deep, large, half, array, raw, view, 1 / 0", **names))
    assert set(cell["names"]) == set(names)
    assert max(map(len, cell["names"].values())) <= 400
    assert cell["names"]["many"].startswith("[0, 1, 2")
    assert "Awkward" in cell["names"]["awkward"]
    assert cell["names"]["large"] == "Large(rows=[0, 1, 2, 3, 4, 5, 6, 7, ...], name='n')"
    assert cell["names"]["raw"].startswith("b'\\x00") and cell["names"]["view"] == "dict_keys(...)"
    assert cell["names"]["half"] == "0.5" and cell["names"]["array"].startswith("array([")


def test_a_deep_recursion_tells_its_innermost_frames() -> None:
    frames = frames_of(failing("def f(n):\n    return f(n - 1) if n else 1 / n\nf(50)"))
    assert [frame["names"] for frame in frames] == [{"n": str(n)} for n in range(5, -1, -1)]


def test_no_error_no_frames() -> None:
    assert frames_of(None) == []
