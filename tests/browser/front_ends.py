"""The front ends that the tests run in: what they differ in, and nothing else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class FrontEnd:
    """One front end.

    Parameters
    ----------
    name: for the tests' names, and the screenshots'
    address: path of a notebook's page on the server
    script: JavaScript file that answers what a test asks of the page, by an object `front`
    tags: whether it tells the kernel a cell's tags; if not, batch cells begin with ``%%batch``
    interrupt, restart_and_run_all, save: CSS selectors of buttons in the toolbar
    confirm: CSS selector of the button that says yes in a dialog
    typing: CSS selector of the field in which an ``input()`` is answered
    """

    name: str
    address: str
    script: str
    tags: bool
    interrupt: str
    restart_and_run_all: str
    save: str
    confirm: str
    typing: str

    @property
    def code(self) -> str:
        """The script's text."""
        return (_FOLDER / self.script).read_text()


def _of_jupyterlab(name: str, address: str) -> FrontEnd:
    """A front end that is made of JupyterLab's parts."""
    button = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-NotebookPanel-toolbar [data-command='{}']"
    return FrontEnd(
        name,
        address,
        script="jupyterlab.js",
        tags=True,
        interrupt=button.format("notebook:interrupt-kernel"),
        restart_and_run_all=button.format("notebook:restart-run-all"),
        save=button.format("docmanager:save"),
        confirm=".jp-Dialog .jp-mod-accept",
        typing=".jp-Stdin-input",
    )


# A workspace of its own shows nothing but the notebook.
JUPYTERLAB = _of_jupyterlab("jupyterlab", "lab/workspaces/{workspace}/tree/{notebook}")
NOTEBOOK = _of_jupyterlab("notebook", "notebooks/{notebook}")

_ACTION = "#maintoolbar [data-jupyter-action='jupyter-notebook:{}']"
NBCLASSIC = FrontEnd(
    "nbclassic",
    "nbclassic/notebooks/{notebook}",
    script="nbclassic.js",
    tags=False,
    interrupt=_ACTION.format("interrupt-kernel"),
    restart_and_run_all=_ACTION.format("confirm-restart-kernel-and-run-all-cells"),
    save=_ACTION.format("save-notebook"),
    confirm=".modal.in .modal-footer .btn-danger",
    typing="input.raw_input",
)

#: All three take a while: ``make front-ends``.
CHOSEN = (JUPYTERLAB, NOTEBOOK, NBCLASSIC) if "GANGA_KERNEL_FRONT_ENDS" in os.environ else (JUPYTERLAB,)
