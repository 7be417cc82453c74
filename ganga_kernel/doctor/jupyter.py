"""Jupyter: is the kernel known, does it start this Python, and which front ends are there?"""

from __future__ import annotations

import shutil
import sys
from importlib import metadata
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from .finding import FAILURE, NOTE, OK, WARNING, Finding

_AREA = "Jupyter"
#: What shows or runs notebooks, and the oldest version that is tested.
_FRONT_ENDS = {
    "jupyterlab": (4, 2), "notebook": (7, 2), "nbclassic": (1, 1), "nbclient": (0, 10), "papermill": (2, 6),
}  # fmt: skip


def look() -> list[Finding]:
    """What Jupyter knows of the kernel, and what shows notebooks in this environment."""
    return [*_kernelspecs(), *_front_ends()]


def _kernelspecs() -> list[Finding]:
    manager = KernelSpecManager()
    found = []
    for name in sorted(manager.find_kernel_specs()):
        spec = manager.get_kernel_spec(name)
        if "ganga_kernel" in spec.argv:
            found.append(_kernelspec(name, spec))
    if found:
        return found
    return [
        Finding(
            _AREA, FAILURE, "No kernelspec of ganga-kernel is where this environment's Jupyter looks.",
            "Run ganga-kernel install (see ganga-kernel install --help for where).",
        )
    ]  # fmt: skip


def _kernelspec(name: str, spec: KernelSpec) -> Finding:
    where = f"Kernelspec {name} ({spec.display_name}) in {spec.resource_dir}"
    python = spec.argv[0]
    if shutil.which(python) is None:
        return Finding(
            _AREA, FAILURE, f"{where} starts {python}, which isn't there.", "Run ganga-kernel install again."
        )
    if Path(python) != Path(sys.executable):
        return Finding(
            _AREA, WARNING, f"{where} starts {python}; this is {sys.executable}.",
            f"To look at that one: {python} -m ganga_kernel doctor",
        )  # fmt: skip
    return Finding(_AREA, OK, f"{where} starts this Python.")


def _front_ends() -> list[Finding]:
    found, old = [], []
    for name, least in _FRONT_ENDS.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(f"{name} {version}")
        if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < least:
            old.append(f"{name} {version} (tested from {'.'.join(map(str, least))} on)")
    if not found:
        return [Finding(_AREA, NOTE, "No front end is in this environment; one of another may be used.")]
    if old:
        return [Finding(_AREA, WARNING, f"Older than tested: {', '.join(old)}.", "Upgrade with pip.")]
    return [Finding(_AREA, OK, f"Front ends here: {', '.join(found)}.")]
