"""A batch cell shows what plain ipykernel shows for the same cell."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager
from test_payload_harness import run_cell

KINDS = (
    "stream", "display_data", "update_display_data", "execute_result", "error", "clear_output",
)  # fmt: skip


#: Nothing of an earlier cell may show.
RESET = """%cd -q {}
%reset -f
%xmode Context
import IPython.core.interactiveshell
vars(IPython.core.interactiveshell).pop("__warningregistry__", None)
del IPython
"""


class Plain:
    """A plain ipykernel whose next cell is always In[7]."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(extra_arguments=["--HistoryManager.enabled=False"])
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, source: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        self._execute("get_ipython().execution_count = 7", silent=True)
        return self._execute(source)

    def _execute(self, source: str, **options: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        sent = self.client.execute(source, **options)
        outputs = []
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != sent:
                continue
            if message["content"].get("execution_state") == "idle":
                break
            if message["msg_type"] in KINDS:
                outputs.append({"type": message["msg_type"], "content": message["content"]})
        while True:
            try:
                reply = self.client.get_shell_msg(timeout=60)
            except queue.Empty:
                raise AssertionError("no reply") from None
            if reply["parent_header"].get("msg_id") == sent:
                return outputs, reply["content"]

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def plain() -> Iterator[Plain]:
    kernel = Plain()
    yield kernel
    kernel.close()


def joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The outputs, with neighbouring pieces of one stream put together."""
    found: list[dict[str, Any]] = []
    for output in outputs:
        last = found[-1] if found else None
        if (
            last
            and output["type"] == last["type"] == "stream"
            and output["content"]["name"] == last["content"]["name"]
        ):
            content = {
                "name": last["content"]["name"],
                "text": last["content"]["text"] + output["content"]["text"],
            }
            found[-1] = {"type": "stream", "content": content}
        else:
            found.append(output)
    return found


SAME = {
    "print": "print('a'); import sys; sys.stdout.flush(); print('b', file=sys.stderr)",
    "last expression": "x = 3\n[x] * 3",
    "semicolon": "5;",
    "rich": "from IPython.display import HTML\nHTML('<b>x</b>')",
    "display": "display({'a': 1}, 'x')",
    "display with metadata": "display(1, metadata={'text/plain': {'k': 1}})",
    "display id": "h = display('x', display_id='one'); h.update('y')",
    "raw": "display({'text/plain': 'x', 'application/json': {'a': 1}}, raw=True)",
    "clear": "from IPython.display import clear_output\nprint(1); clear_output(wait=True); print(2)",
    "error": "x = 1\n1 / 0\n",
    "error in function": "def f(x):\n    return 1 / x\n\ndef g():\n    f(0)\n\ng()",
    "chained": "try:\n    {}['k']\nexcept KeyError as e:\n    raise ValueError('bad') from e",
    "context": "try:\n    {}['k']\nexcept KeyError:\n    int('x')",
    "syntax": "a = 1\nb = = 2",
    "indentation": "def f():\nx = 1",
    "library": "import json\njson.loads('{')",
    "sys.exit": "import sys\nprint(1)\nsys.exit(3)",
    "sys.exit 0": "import sys\nsys.exit(0)",
    "raise SystemExit": "raise SystemExit('why')",
    "interrupt": "raise KeyboardInterrupt",
    "usage error": "%nosuchmagic",
    "cell magic missing": "%%nosuchmagic\nx",
    "magic": "%pwd\nx = 2\n%who_ls",
    "shell": "!echo one; echo two",
    "shell assignment": "x = !echo one\nx",
    "shell and prints": "print('before')\n!echo shell\nprint('after')",
    "await": "import asyncio\nawait asyncio.sleep(0)\nprint('slept')\nawait asyncio.sleep(0, 5)",
    "await error": "import asyncio\nawait asyncio.sleep(0)\n1/0",
    "repr fails": "class A:\n    def __repr__(self):\n        raise ValueError('no')\nA()",
    "display fails": "class A:\n    def _repr_html_(self):\n        raise ValueError('no')\ndisplay(A())\n2",
    "capture": "%%capture out\nprint(1)",
    "capture shown": "from IPython.utils.capture import capture_output\n"
    "with capture_output() as c:\n    print(1); display(2)\nc.outputs, c.stdout",
    "time": "%%time\nx = 1\ny",
    "unicode": "print('äöü ☃ \\U0001d538')",
    "exception group": "raise ExceptionGroup('g', [ValueError(1), TypeError(2)])",
    "exception note": "e = ValueError('x')\ne.add_note('note')\nraise e",
    "assertion": "assert 1 == 2, 'message'",
    "traceback hook": "class E(Exception):\n    def _render_traceback_(self):\n        return ['x']\nraise E",
    "warning": "import warnings\nwarnings.simplefilter('ignore')\nwarnings.warn('x')",
    "xmode": "%xmode Plain\n1/0",
    "not a number": "display({'application/json': [float('inf')]}, raw=True)",
    "figure": "import matplotlib.pyplot as plt\nplt.plot([1, 2]);\nprint('x')",
    "two figures": "import matplotlib.pyplot as plt\nplt.figure(); plt.plot([1])\nplt.figure()\n3",
    "show": "import matplotlib.pyplot as plt\nplt.plot([1]); plt.show(); print('after')",
    "figure as value": "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nplt.close()\nfig",
    "numpy": "import numpy as np\nnp.arange(3)",
    "long traceback": "def f(n):\n    return f(n - 1) if n else 1 / 0\nf(30)",
    "exec": "exec('1/0')",
    "indented": "    x = 1\n    x + 1",
}


def normal(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what differs between any two runs: times, and addresses of objects."""
    import json
    import re

    text = json.dumps(joined(outputs))
    text = re.sub(r"(CPU times|Wall time)[^\"]*?\\n", r"\1\\n", text)
    text = re.sub(r"0x[0-9a-f]{6,}", "0x", text)
    text = re.sub(r"ipython-input-\d+-\w+|/tmp/ipykernel_\d+/\d+\.py", "cell", text)
    return json.loads(text)


@pytest.mark.parametrize("source", SAME.values(), ids=list(SAME))
def test_same_outputs(plain: Plain, tmp_path: Path, source: str) -> None:
    plain._execute(RESET.format(tmp_path), silent=True)
    expected, reply = plain.run(source)
    result = run_cell(tmp_path, source)
    assert normal(result.outputs) == normal(expected), result.said
    assert result.end["status"] == reply["status"]
    assert result.code == (reply["status"] != "ok")
    if reply["status"] == "error":
        error = result.end["error"]
        if reply["ename"] != "NoneType":  # so ipykernel calls it when only the display failed
            assert (error["ename"], error["evalue"]) == (reply["ename"], reply["evalue"])
        assert error["traceback"] == reply["traceback"] or "0x" in str(reply["traceback"])
        assert result.end["result"] is None
        assert (tmp_path / "0.result").read_bytes() == b""
