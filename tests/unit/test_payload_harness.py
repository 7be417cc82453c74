"""What the payload's tests share: run a cell through the archive, as a real process; and the thin path."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

from ganga_kernel.payload import archive, pickling, sealed, unpickling

EMPTY = {"__name__": "__main__"}


def _joined(pieces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With neighbouring pieces of one stream put together: where it is cut is a matter of timing."""
    found: list[dict[str, Any]] = []
    for piece in pieces:
        before, content = found[-1] if found else {}, piece["content"]
        if piece["type"] == before.get("type") == "stream" and content["name"] == before["content"]["name"]:
            text = before["content"]["text"] + content["text"]
            found[-1] = {"type": "stream", "content": {"name": content["name"], "text": text}}
        else:
            found.append(piece)
    return found


class Result:
    """What a run of the payload left."""

    def __init__(self, folder: Path, process: subprocess.CompletedProcess[str], key: str) -> None:
        self.folder, self.key = folder, key
        self.code = process.returncode
        self.said = process.stderr
        self.stdout = process.stdout
        events = folder / "0.events"
        text = events.read_text() if events.exists() else process.stdout
        self.events = [json.loads(line) for line in text.splitlines()]
        self.pieces = [e["output"] for e in self.events if e["event"] == "output"]
        self.outputs = _joined(self.pieces)
        self.end = self.events[-1]

    def text(self, name: str = "stdout") -> str:
        """All that was written to a stream."""
        return "".join(
            o["content"]["text"]
            for o in self.outputs
            if o["type"] == "stream" and o["content"]["name"] == name
        )

    def shown(self) -> list[tuple[str, Any]]:
        """Outputs in order: (kind, essence)."""
        return [
            (content["name"], content["text"]) if kind == "stream" else (kind, content.get("data", content))
            for kind, content in ((output["type"], output["content"]) for output in self.outputs)
        ]

    def names(self, namespace: dict[str, Any] | None = None) -> dict[str, Any]:
        """The names that came back, loaded."""
        namespace = dict(EMPTY) if namespace is None else namespace
        with (self.folder / "0.result").open("rb") as file:
            reader = sealed.Reader(file, self.key, self.end["result"]["signature"])
            return dict(unpickling.load_pairs(reader.stream, namespace, fetch=reader.fetch))


def prepare(
    folder: Path, source: str, namespace: dict[str, Any] | None = None, /, **changes: Any
) -> tuple[Path, str]:
    """Write a job's folder; returns the job description and the key."""
    key = secrets.token_hex(32)
    (folder / "key").write_text(key)
    namespace = dict(EMPTY) if namespace is None else namespace
    names = [n for n in namespace if not n.startswith("__")]
    with (folder / "namespace.pkl").open("wb") as file:
        pickling.dump_namespace(namespace, names, file)
    job = {
        "version": 1,
        "token": "t",
        "source": source,
        "execution_count": 7,
        "namespace": str(folder / "namespace.pkl"),
        "modules": None,
        "key": str(folder / "key"),
        "directory": str(folder),
        "environ": {},
        "sys_path": [],
        "python": sys.executable,
        "python_version": list(sys.version_info[:3]),
        "inputs": [],
        "mutates": [],
        "colors": None,
        **changes,
    }
    (folder / "job.json").write_text(json.dumps(job))
    return folder / "job.json", key


def command(folder: Path, *interpreter: str, events: bool = False) -> list[str]:
    """The payload's command line."""
    more = ["--events", str(folder / "0.events")] if events else []
    job = ["--job", str(folder / "job.json"), "--task", "0", "--attempt", "1"]
    return [*(interpreter or (sys.executable,)), str(archive.build(folder)), *job, *more]


def run_cell(
    folder: Path,
    source: str,
    namespace: dict[str, Any] | None = None,
    /,
    *,
    interpreter: tuple[str, ...] = (),
    events: bool = False,
    variables: dict[str, str] | None = None,
    **changes: Any,
) -> Result:
    """Run a cell; `changes` are put into the job description."""
    _, key = prepare(folder, source, namespace, **changes)
    process = subprocess.run(
        command(folder, *interpreter, events=events),
        capture_output=True,
        text=True,
        timeout=100,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(variables or {})},
    )
    return Result(folder, process, key)


def test_thin_path(tmp_path: Path) -> None:
    result = run_cell(tmp_path, "y = x + 1\nprint('hello')\ny * 2", {"x": 1})
    assert result.code == 0, (result.said, result.stdout)
    kinds = [e["event"] for e in result.events]
    assert (kinds[0], {*kinds[1:-1]}, kinds[-1]) == ("start", {"output"}, "end")
    assert [e["seq"] for e in result.events] == list(range(len(kinds)))
    assert {e["attempt"] for e in result.events} == {1}
    assert result.outputs[0] == {
        "type": "stream",
        "content": {"name": "stdout", "text": "hello\n"},
    }
    assert result.outputs[1] == {
        "type": "execute_result",
        "content": {"data": {"text/plain": "4"}, "metadata": {}, "execution_count": 7},
    }
    assert result.end["status"] == "ok" and result.end["error"] is None
    assert result.names() == {"y": 2, "_7": 4}
    assert not (tmp_path / "key").exists()
    written = result.end["result"]
    file = tmp_path / written["file"]
    assert written["file"] == "0.result" and written["size"] == file.stat().st_size
    assert sealed.verify(file, result.key, written["signature"])
