"""Two transcripts side by side: what was heard, without ids, times and addresses, and where it differs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from tests.transparent.talk import Client, Heard

#: The one place where accepted differences are listed.
DOCUMENT = Path(__file__).parents[2] / "docs" / "differences.md"

_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?:_\d+_\d+)?")
_NOISE = [
    (re.compile(r"0x[0-9a-f]{6,}"), "<address>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*"), "<time>"),
    (re.compile(r"ipykernel_\d+"), "ipykernel_<pid>"),
    (re.compile(r"\nTip: .*"), "\nTip: <tip>"),
    (re.compile(r"thread id: \d+"), "thread id: <number>"),
    (re.compile(r"\bpid: \d+"), "pid: <number>"),
    (re.compile(r"gk-test-\w+/\w+"), "<the kernel's own folder>"),
    (re.compile(r"\b\d+\.\d+s - pydevd"), "<seconds>s - pydevd"),
    (re.compile(r"\b\d+(?:\.\d+)? (?:s|ms|µs|us|ns)\b"), "<seconds>"),
]
#: Fields whose value is a matter of the moment.
_MOMENTARY = {
    "started", "date", "kernel_cpu", "kernel_memory", "cpu_percent", "host_cpu_percent", "pid",
    "host_virtual_memory", "seq", "request_seq", "threadId", "systemProcessId", "startMethod", "variablesReference",
    "_jupyter_types_experimental",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """An accepted difference: where it may show, and why it is there."""

    check: str
    message: str
    field: str
    why: str

    def covers(self, check: str, state: str, found: Difference) -> bool:
        """Whether this is about such a difference; a pattern may end in the state to be for that only."""
        return (self.message, self.field) == (found.message, found.field) and any(
            re.fullmatch(self.check, name) for name in (check, f"{check} {state}")
        )


@dataclass(frozen=True)
class Difference:
    """Something that isn't the same; `message` and `field` are what a `Row` is looked up by."""

    message: str
    field: str
    plain: Any
    here: Any

    def __str__(self) -> str:
        return f"{self.message} {self.field}:\n    plain: {self.plain!r}\n    here:  {self.here!r}"


@dataclass
class Transcript:
    """What a check heard, as plain data: each client's channels, and what it noted itself."""

    channels: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    notes: list[Any] = field(default_factory=list)


def accepted() -> list[Row]:
    """The rows of the document's table."""
    rows = []
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 6 and cells[1].startswith("`"):
            check, message, field = (cell.strip("`").replace(r"\|", "|") for cell in cells[:3])
            rows.append(Row(check, message, field, cells[5]))
    return rows


class Scribe:
    """Makes transcripts of one kernel.

    Parameters
    ----------
    connection: the content of the kernel's connection file
    """

    def __init__(self, connection: Mapping[str, Any]) -> None:
        self._ports = {
            value: f"<the connection file's {name}>"
            for name, value in connection.items()
            if name.endswith("_port")
        }
        self._ids: dict[str, str] = {}

    def write(
        self, clients: Iterable[Client], notes: list[Any], ordered: bool, without: Collection[str]
    ) -> Transcript:
        """What these clients heard since they began.

        Parameters
        ----------
        ordered: whether the order of messages of different requests is part of it
        without: types of messages that are left out
        """
        self._ids = {}
        clients = list(clients)
        labels: dict[str, str] = {}
        for at, client in enumerate(clients):
            for number, request in enumerate(client.requests.values(), 1):
                labels[request.id] = f"{'abcdef'[at]}{number} {request.message['header']['msg_type']}"
        result = Transcript()
        for at, client in enumerate(clients):
            log = client.log[client.start :]
            for channel in ("iopub", "shell", "control", "stdin"):
                heard = [self._plain(one, client, labels) for one in log if one.channel == channel]
                mine = [one for one in heard if one is not None and one["type"] not in without]
                name = f"{'abcdef'[at]} {channel}"
                if ordered:
                    result.channels[name] = _merged(mine)
                else:
                    for label in sorted({one["of"] for one in mine}):
                        of_one = [one for one in mine if one["of"] == label]
                        result.channels[f"{name} {label}"] = _merged(of_one)
        result.notes = [self._value(note) for note in notes]
        return result

    def _plain(self, heard: Heard, client: Client, labels: Mapping[str, str]) -> dict[str, Any] | None:
        parent = heard.message["parent_header"]
        label = labels.get(heard.parent)
        if label is None and parent:
            return None  # another client's that isn't in the play, or a panel's
        request = client.requests.get(heard.parent)
        echoed = request is None or _dated(parent) == _dated(request.message["header"])
        return {
            "of": label or "nothing",
            "type": heard.type,
            "content": self._value(heard.content),
            "metadata": self._value(heard.message["metadata"]),
            "buffers": heard.message["buffers"],
            "header": sorted(heard.message["header"]),
            "topic": [_UUID.sub("<id>", part.decode(errors="replace")) for part in heard.topic],
            "parent": "as sent" if echoed else self._value(parent),
        }

    def _value(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                self._value(key): "<moment>" if key in _MOMENTARY else self._value(found)
                for key, found in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._value(found) for found in value]
        if isinstance(value, int) and not isinstance(value, bool):
            return self._ports.get(value, value)
        if isinstance(value, str):
            value = _UUID.sub(lambda found: self._id(found[0]), value)
            for noise, name in _NOISE:
                value = noise.sub(name, value)
            return value
        if isinstance(value, None | bool | float | bytes):
            return value
        return f"<{type(value).__name__}>"

    def _id(self, found: str) -> str:
        return self._ids.setdefault(found, f"<id {len(self._ids)}>")


def _dated(header: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in header.items() if name != "date"}


def _merged(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With neighbouring pieces of one stream put together: where it is cut is a matter of timing."""
    result: list[dict[str, Any]] = []
    for message in messages:
        last = result[-1] if result else None
        if (
            last is not None
            and message["type"] == last["type"] == "stream"
            and message["of"] == last["of"]
            and message["content"]["name"] == last["content"]["name"]
        ):
            text = last["content"]["text"] + message["content"]["text"]
            result[-1] = {**last, "content": {**last["content"], "text": text}}
        else:
            result.append(message)
    return result


def differences(plain: Transcript, here: Transcript) -> Iterator[Difference]:
    """All differences between two transcripts."""
    for name in sorted({*plain.channels, *here.channels}):
        yield from _sequences(plain.channels.get(name, []), here.channels.get(name, []))
    yield from _values("note", "value", plain.notes, here.notes)


def _sequences(plain: list[dict[str, Any]], here: list[dict[str, Any]]) -> Iterator[Difference]:
    matcher = SequenceMatcher(None, [_key(m) for m in plain], [_key(m) for m in here], autojunk=False)
    for _, from_plain, to_plain, from_here, to_here in matcher.get_opcodes():
        if to_plain - from_plain == to_here - from_here:
            for one, other in zip(plain[from_plain:to_plain], here[from_here:to_here], strict=True):
                yield from _values(one["type"], "", one, other)
            continue
        for one in plain[from_plain:to_plain]:
            yield Difference(one["type"], "sent", (one["of"], one["content"]), None)
        for other in here[from_here:to_here]:
            yield Difference(other["type"], "sent", None, (other["of"], other["content"]))


def _key(message: dict[str, Any]) -> tuple[str, ...]:
    content = message["content"]
    return (message["of"], message["type"], str(content.get("execution_state", content.get("name", ""))))


def _values(message: str, where: str, plain: Any, here: Any) -> Iterator[Difference]:
    if isinstance(plain, dict) and isinstance(here, dict):
        for key in sorted({*plain, *here}):
            inner = f"{where}.{key}" if where else key
            yield from _values(message, inner, plain.get(key, "<absent>"), here.get(key, "<absent>"))
    elif isinstance(plain, list) and isinstance(here, list) and len(plain) == len(here):
        for one, other in zip(plain, here, strict=True):
            yield from _values(message, where, one, other)
    elif plain != here:
        yield Difference(message, where, plain, here)
