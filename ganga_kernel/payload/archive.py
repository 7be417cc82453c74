"""Builds the archive that travels to the worker. Submit side only."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import io
import os
import tempfile
import zipfile
from pathlib import Path

#: Not `payload`: the archive must not hide a module of the user.
_PACKAGE = "_ganga_kernel"

#: Understood by any Python, so that one that is too old can say so.
_MAIN = """\
import sys

if sys.version_info < (3, 8):
    import json
    import time

    arguments = sys.argv[1:]
    given = dict(zip(arguments[::2], arguments[1::2]))
    sentence = (
        "The worker's %s is Python %d.%d, and the payload needs 3.8 or newer. "
        "Choose another interpreter for the job." % ((sys.executable,) + sys.version_info[:2])
    )
    error = {"ename": "PayloadError", "evalue": sentence, "traceback": [sentence]}
    event = {
        "attempt": int(given.get("--attempt", 1)), "seq": 0, "time": time.time(), "event": "end",
        "status": "broken", "error": error, "result": None,
        "usage": {"wall": 0, "cpu": 0, "memory": 0},
    }
    stream = open(given["--events"], "a") if "--events" in given else sys.stdout
    stream.write(json.dumps(event) + "\\n")
    stream.flush()
    sys.stderr.write(sentence + "\\n")
    sys.exit(3)

from _ganga_kernel.payload.__main__ import main

sys.exit(main(sys.path[0]))
"""


def build(destination_folder: Path) -> Path:
    """Build the archive in a folder, if it isn't there yet, and return its path, ``<sha256>.pyz``.

    The same code gives the same bytes, so the name tells the content.

    Raises
    ------
    OSError: the folder can't be written.
    """
    content = _archive()
    path = destination_folder / f"{hashlib.sha256(content).hexdigest()}.pyz"
    if path.exists():
        return path
    handle, temporary = tempfile.mkstemp(prefix=".payload-", dir=str(destination_folder))
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
    return path


@functools.lru_cache(maxsize=None)
def _archive() -> bytes:
    """The archive's bytes, as the code was when they were first asked for in this process."""
    files = {"__main__.py": _MAIN.encode(), _PACKAGE + "/__init__.py": b""}
    here = Path(__file__).parent
    for module in here.glob("*.py"):
        if module.name != Path(__file__).name:
            files[f"{_PACKAGE}/payload/{module.name}"] = module.read_bytes()
    files.update(_cloudpickle())
    stream = io.BytesIO()
    # Not compressed: the bytes don't depend on the version of zlib then.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), files[name])
    return stream.getvalue()


def _cloudpickle() -> dict[str, bytes]:
    """cloudpickle's own files, and its licence."""
    import cloudpickle

    folder = Path(cloudpickle.__file__).parent
    files = {"vendor/cloudpickle/" + f.name: f.read_bytes() for f in folder.glob("*.py")}
    for file in importlib.metadata.files("cloudpickle") or ():
        if file.name.upper().startswith("LICENSE"):
            files["vendor/cloudpickle/" + file.name] = Path(str(file.locate())).read_bytes()
    return files
