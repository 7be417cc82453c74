"""The bridge: the code of ours that runs inside the inner kernel, with the user's namespace at hand.

It is mounted there as ``_ganga_kernel.bridge``, perhaps in another environment and an older Python (3.9),
so it imports the standard library, IPython, cloudpickle and `ganga_kernel.payload` only. It knows names, not
jobs. The grid kernel calls `call` through an internal request.
"""

from __future__ import annotations

import json
from typing import Any, Callable

from . import history, transfer

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "hello": history.hello,
    "take": history.take,
    "needs": transfer.needs,
    "capture": transfer.capture,
    "place": transfer.place,
    "deliver": transfer.deliver,
    "fail": transfer.fail,
}


class Answer:
    """A function's answer, in the form in which user_expressions carries plain data."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"application/vnd.ganga-kernel+json": json.dumps(self._value)}


def call(function: str, arguments: str) -> Answer:
    """Call one of the bridge's functions with JSON arguments."""
    return Answer(_FUNCTIONS[function](**json.loads(arguments)))
