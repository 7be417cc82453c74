"""Calls into the inner kernel: functions of `ganga_kernel.bridge`, by internal requests."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cloudpickle

from .errors import DeliveryFailed
from .router import Router
from .routing import MAGICS

#: The name under which the bridge's package is mounted.
_PACKAGE = "_ganga_kernel"
#: The MIME type under which the bridge's answers travel in user_expressions.
ANSWER = "application/vnd.ganga-kernel+json"


class Bridge:
    """Calls functions of `ganga_kernel.bridge` inside the inner kernel.

    A call waits its turn behind running cells; no front end sees it.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._mounted = False
        self._numbers = itertools.count(1)

    async def call(self, function: str, **arguments: Any) -> Any:
        """Call a function of the bridge with plain data, and return its plain answer.

        Raises
        ------
        DeliveryFailed: the bridge raised an error.
        """
        await self.mount()
        expression = _expression(next(self._numbers), function, arguments)
        found = await self._ask(expression)
        if found.get("ename") == "KeyError" and _PACKAGE in found.get("evalue", ""):
            self.forget()  # a new inner kernel has taken the old one's place just now
            await self.mount()
            found = await self._ask(expression)
        return self._answer(found)

    async def mount(self) -> None:
        """Load the bridge into the inner kernel, if that isn't done."""
        if not self._mounted:
            self._mounted = True
            self._answer(await self._ask(_mount_expression()))

    def forget(self) -> None:
        """The inner kernel is a new process."""
        self._mounted = False

    async def _ask(self, expression: str) -> dict[str, Any]:
        while True:
            found = await asyncio.wrap_future(self._router.ask(expression))
            if found.get("ename") != "KeyboardInterrupt":  # which was meant for a cell
                return found

    @staticmethod
    def _answer(found: dict[str, Any]) -> Any:
        if found.get("status") == "error":
            raise DeliveryFailed(
                f"The notebook's kernel couldn't do it: {found.get('ename')}: {found.get('evalue')}.",
                "If the notebook's namespace is damaged, restart the kernel.",
            )
        return json.loads(found["data"][ANSWER])


def _mount_expression() -> str:
    """The expression that loads the bridge into the inner kernel, from our files but under its own name.

    The inner kernel may be of another environment, where `ganga_kernel` can't be imported; the package
    folder is mounted as ``_ganga_kernel``, whose ``__init__`` isn't run, so only what the bridge imports
    is loaded.
    """
    here = str(Path(__file__).parent)
    code = (
        "import sys, types\n"
        "package = types.ModuleType('_ganga_kernel')\n"
        f"package.__path__ = [{here!r}]\n"
        "sys.modules['_ganga_kernel'] = package\n"
        "from _ganga_kernel import bridge\n"
        "package.call = bridge.call\n"
    )
    hello = _expression(0, "hello", {"magics": MAGICS, "cloudpickle": str(Path(cloudpickle.__file__).parent)})
    return f"(exec({code!r}, {{}}), {hello})[1]"


def _expression(number: int, function: str, arguments: Mapping[str, Any]) -> str:
    """The expression that calls a function of the bridge in the inner kernel."""
    called = f"{number}, {function!r}, {json.dumps(arguments)!r}"
    return f"__import__('sys').modules['_ganga_kernel'].call({called})"
