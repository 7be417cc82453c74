"""The bridge: the code of ours that runs inside the inner kernel, with the user's namespace at hand.

It is mounted there as ``_ganga_kernel.bridge``, perhaps in another environment and an older Python (3.9),
so it imports the standard library, IPython, cloudpickle and `ganga_kernel.payload` only. It knows names, not
jobs. The grid kernel calls `call` through an internal request.
"""

from __future__ import annotations

import json
import signal
from collections import OrderedDict
from typing import Any, Callable

from . import capture, delivery, history

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "hello": history.hello,
    "take": history.take,
    "evaluate": history.evaluate,
    "needs": capture.needs,
    "begin": capture.begin,
    "capture": capture.capture,
    "capture_map": capture.capture_map,
    "place": delivery.place,
    "deliver": delivery.deliver,
    "deliver_map": delivery.deliver_map,
    "fail": delivery.fail,
    "supersede": delivery.supersede,
}


class Answer:
    """A function's answer, in the form in which user_expressions carries plain data."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"application/vnd.ganga-kernel+json": json.dumps(self._value)}


#: The answers of the last calls, by number.
_answers: OrderedDict[int, Answer] = OrderedDict()
#: How many are kept: more than calls can be under way at once.
_KEPT = 1000


def call(number: int, function: str, arguments: str) -> Answer:
    """Call one of the bridge's functions with JSON arguments.

    An interrupt that comes meanwhile is for no cell, and is ignored. After one that came between the call
    and the kernel's reply, the call is made again: its answer is the first one, and nothing is done twice.

    Parameters
    ----------
    number: of the call, the same if it is made again
    """
    if number not in _answers:
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            _answers[number] = Answer(_FUNCTIONS[function](**json.loads(arguments)))
        finally:
            signal.signal(signal.SIGINT, handler)
        if len(_answers) > _KEPT:
            _answers.popitem(last=False)
    return _answers[number]
