"""What a pack of the environment that runs this costs, the first time and after."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ganga_kernel.condor.launcher import launcher
from ganga_kernel.packing.packname import parsed

from .figures import Figure, Section

_MB = 2**20


def measure(quick: bool) -> Section:
    """Beside tar and gzip on the environment's folder."""
    with tempfile.TemporaryDirectory(prefix="gk-packing-") as folder:
        return _measured(Path(folder), 1 if quick else 3)


def _measured(folder: Path, rounds: int) -> Section:
    objects = folder / "objects"
    first, plain, again = [], [], []
    for _ in range(rounds):
        shutil.rmtree(objects, ignore_errors=True)
        objects.mkdir()
        first.append(_took(_pack(folder)))
        plain.append(_took(["sh", "-c", f"tar -cf - -C {sys.prefix} . | gzip -1 > {folder}/plain.tar.gz"]))
        again += [_took(_pack(folder)) for _ in range(3)]
    (pack,) = objects.iterdir()
    (folder / "launch").write_text(launcher())
    (folder / "payload.py").write_text("")
    unpacked, bare, there, python = [], [], [], []
    try:
        for _ in range(rounds):
            _forget(pack)
            unpacked.append(_launched(folder, pack))
            (folder / "plain").mkdir()
            bare.append(_took(["tar", "-xzf", str(folder / "plain.tar.gz"), "-C", str(folder / "plain")]))
            shutil.rmtree(folder / "plain")
            there += [_launched(folder, pack) for _ in range(3)]
            python += [_took([sys.executable, str(folder / "payload.py")]) for _ in range(3)]
    finally:
        _forget(pack)
    sizes = [path.stat().st_size / _MB for path in (pack, folder / "plain.tar.gz")]
    folder_of = "tar and gzip of the environment's folder"
    return Section(
        "A packed environment",
        [
            Figure("pack it, the first time", "s", first, plain, folder_of),
            Figure("see that it is packed already", "s", again, aim="below 1 s"),
            Figure("bytes sent", "MB", [sizes[0]], [sizes[1]], folder_of),
            Figure("unpack it, and start Python", "s", unpacked, bare, "tar of the same"),
            Figure("start Python where it is unpacked", "s", there, python, "the notebook's own Python"),
        ],
        [
            f"The environment is this one: {parsed(pack.name).kilobytes / 1024:.0f} MB unpacked, its "
            "interpreter and standard library included; compiled bytecode is only in the folder's archive."
        ],
    )


def _pack(folder: Path) -> Sequence[str]:
    described = {"python": sys.executable, "sys_path": sys.path, "environ": dict(os.environ)}
    (folder / "job.json").write_text(json.dumps(described))
    return [
        sys.executable,
        "-m",
        "ganga_kernel.packing",
        str(folder / "objects"),
        str(folder / "job.json"),
    ]


def _launched(folder: Path, pack: Path) -> float:
    """What it takes on a worker that a payload which does nothing has ended."""
    os.link(pack, folder / pack.name)
    return _took(["sh", "launch", pack.name, "", "payload.py"], folder)


def _took(command: Sequence[str], folder: Path | None = None) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _forget(pack: Path) -> None:
    """Remove what the launcher has unpacked for all jobs of this host."""
    for path in Path(f"/tmp/ganga-kernel-{os.getuid()}").glob(f"{parsed(pack.name).digest}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
