"""A job's buttons: ipywidgets of the grid kernel, which work while a cell runs.

They stand in an output of their own, not in the panel: a saved widget shows an error when its kernel is gone.
ipywidgets takes a third of a second to load, so it is imported with this module, at the first use.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ipywidgets import Button, HBox, Label

from .errors import GangaKernelError
from .states import ended


class Controls:
    """The buttons of one job.

    Parameters
    ----------
    job: the job's summary
    kill: ends the job
    spawn: runs work in the event loop
    """

    def __init__(
        self,
        job: dict[str, Any],
        kill: Callable[[], Awaitable[Any]],
        spawn: Callable[[Awaitable[None]], None],
    ) -> None:
        self._kill = Button(description=f"Kill job {job['id']}", button_style="danger", icon="stop")
        self._kill.on_click(lambda _: spawn(self._do(kill)))
        self._said = Label()
        self._box = HBox([self._kill, self._said])
        self._fallback = f"%kill {job['id']} ends it."
        self.update(job)

    def update(self, job: dict[str, Any]) -> None:
        """The job's summary is a newer one."""
        self._kill.disabled = ended(job["state"])

    def bundle(self) -> dict[str, Any]:
        """The buttons as a mime bundle; its text is for front ends without widgets."""
        view: dict[str, Any] = self._box._repr_mimebundle_()
        return {**view, "text/plain": self._fallback}

    async def _do(self, what: Callable[[], Awaitable[Any]]) -> None:
        try:
            await what()
        except GangaKernelError as error:
            self._said.value = str(error)
