"""Plays a notebook, with some of its cells tagged, and says what it left: outputs, errors, namespace."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness import Cell, Kernel

_DESCRIBE = Path(__file__).with_name("describe.py").read_text()
#: In a namespace of its own, in a silent request: the notebook's own namespace and history stay as they are.
_ASK = f"""(lambda space: (exec({_DESCRIBE!r}, space),
    __import__('json').dumps(space['describe'](get_ipython().user_ns)))[1])({{'__name__': '_describe'}})"""
_RESET = "get_ipython().reset(new_session=True)"
_NOISE = [
    (re.compile(r"0x[0-9a-f]{6,}"), "<address>"),
    (re.compile(r"/\S*/ipykernel_\d+"), "<temporary folder>"),
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
]


@dataclass
class Left:
    """What a notebook left.

    Attributes
    ----------
    outputs: of each cell, as type and content; what depends on the moment is blanked
    namespace: the user's names by content
    """

    outputs: list[list[Any]]
    namespace: dict[str, Any]


def play(kernel: Kernel, cells: Sequence[str], tagged: Collection[int]) -> Left:
    """Run all cells, those in `tagged` as batch cells, as Run All does."""
    kernel.run(_RESET, silent=True, store_history=False)
    sent = [
        kernel.send(source, {"tags": ["batch"]} if number in tagged else None, stop_on_error=False)
        for number, source in enumerate(cells)
    ]
    for cell in sent:
        kernel.finish(cell)
    kernel.run("%wait", store_history=False)
    for cell in sent:
        kernel.listen(lambda cell=cell: not cell.panel or _ENDED.search(cell.panel))
    asked = kernel.run("", silent=True, store_history=False, user_expressions={"left": _ASK})
    answer = asked.reply["user_expressions"]["left"]
    assert answer["status"] == "ok", answer
    namespace = json.loads(ast.literal_eval(answer["data"]["text/plain"]))
    return Left([_outputs(cell) for cell in sent], namespace)


_ENDED = re.compile(r": (done|failed|broken|lost|refused|skipped|killed) \(")


def _outputs(cell: Cell) -> list[Any]:
    """The cell's own outputs: no panel; streams in one piece each, as ipykernel sends them when it likes."""
    found: list[Any] = []
    for message in cell.messages:
        kind, content = message["msg_type"], message["content"]
        if content.get("metadata", {}).get("ganga_kernel") or kind in ("status", "execute_input"):
            continue
        if kind == "stream":
            if not found or found[-1][0] != "stream":
                found.append(["stream", {"stdout": "", "stderr": ""}])
            found[-1][1][content["name"]] += content["text"]
        elif kind == "error":
            found.append(["error", content["ename"], content["evalue"]])
        else:
            found.append([kind, content.get("data"), content.get("wait")])
    return [[_plain(part) for part in one] for one in found]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, str):
        for noise, name in _NOISE:
            value = noise.sub(name, value)
    return value
