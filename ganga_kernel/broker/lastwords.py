"""What a process wrote to its standard error before it ended, in one sentence. Pure."""

from __future__ import annotations

import re
from pathlib import PurePath

#: Characters of the end of a text that are told.
_TOLD = 500
#: A frame as Python's faulthandler writes it, and the file names of cells.
_FRAME = re.compile(r'^\s*File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)$', re.MULTILINE)
_CELL = re.compile(r".*\bipykernel_\d+/\d+\.py|Cell In\[\d+\]")


def last_words(text: str) -> str:
    """A sentence, or nothing. Of a crash it says where in the cell it was.

    Parameters
    ----------
    text: all that the process wrote
    """
    text = text.strip()
    if "Fatal Python error" in text:
        current = text.partition("Current thread")[2].partition("\n\n")[0]
        frames = list(_FRAME.finditer(current))
        cell = next((frame for frame in frames if _CELL.fullmatch(frame["file"])), None)
        if cell is not None:
            caller = f", called from {_where(cell)}" if cell is not frames[0] else ""
            return f"It was in {_where(frames[0])}{caller}."
    return f"It said: {text[-_TOLD:]}" if text else ""


def _where(frame: re.Match[str]) -> str:
    if not _CELL.fullmatch(frame["file"]):
        path = "/".join(PurePath(frame["file"]).parts[-2:])
        return f"{frame['name']} ({path}, line {frame['line']})"
    if frame["name"] == "<module>":
        return f"line {frame['line']} of the cell"
    return f"{frame['name']}, line {frame['line']} of its cell"
