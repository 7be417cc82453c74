"""What the items of a map showed, as one display under the panel: HTML and text. Pure.

The HTML survives JupyterLab's sanitiser, see `panel`. Of rich output it shows images, and else its text.
"""

from __future__ import annotations

import html
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

#: An item and its outputs, in order.
Item = tuple[int, Sequence[Mapping[str, Any]]]

#: Characters of one item's text.
_MOST = 20_000
_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_IMAGES = ("image/png", "image/jpeg", "image/svg+xml")
_BOX = "font-family:system-ui,sans-serif;font-size:13px;line-height:1.5"
_TEXT = "margin:2px 0 6px 16px;white-space:pre-wrap"


def bundle(job: Mapping[str, Any], items: Sequence[Item], with_outputs: int) -> dict[str, str]:
    """The items' outputs as a mime bundle.

    Parameters
    ----------
    job: the job's summary
    items: those to show, failures first
    with_outputs: how many items there are that showed something
    """
    rest = with_outputs - len(items)
    more = f"{rest} more items of job {job['id']} have outputs, which are not shown." if rest else ""
    parts = [(item, _pieces(outputs)) for item, outputs in items]
    as_html = [_html(item, pieces) for item, pieces in parts] + [f"<div>{more}</div>"] * bool(more)
    as_text = [_text(item, pieces) for item, pieces in parts] + [more] * bool(more)
    return {"text/html": f'<div style="{_BOX}">{"".join(as_html)}</div>', "text/plain": "\n".join(as_text)}


def _pieces(outputs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What an item's outputs come to: (kind, text), the kind being "text", "error" or an image's type."""
    pieces: list[tuple[str, str]] = []
    displays: dict[str, int] = {}
    for output in outputs:
        kind, content = output["type"], output["content"]
        if kind == "clear_output":
            pieces, displays = [], {}
            continue
        piece = _piece(kind, content)
        display = content.get("transient", {}).get("display_id")
        if kind == "update_display_data":
            if display in displays:
                pieces[displays[display]] = piece
            continue
        if display is not None:
            displays[display] = len(pieces)
        pieces.append(piece)
    return pieces


def _piece(kind: str, content: Mapping[str, Any]) -> tuple[str, str]:
    if kind == "stream":
        return "text", str(content["text"])
    if kind == "error":
        return "error", "\n".join(content["traceback"]) or f"{content['ename']}: {content['evalue']}"
    data = content["data"]
    image = next((mime for mime in _IMAGES if mime in data), None)
    if image is not None:
        return image, str(data[image])
    return "text", str(data.get("text/plain", "")) + "\n"


def _plain(pieces: Sequence[tuple[str, str]]) -> str:
    """The text of pieces, without colours, and with a word for each image."""
    texts = [f"({kind})\n" if kind in _IMAGES else _ESCAPE.sub("", text) for kind, text in pieces]
    whole = "".join(texts)
    return whole if len(whole) <= _MOST else f"{whole[:_MOST]}\n… and {len(whole) - _MOST} characters more"


def _title(item: int, pieces: Sequence[tuple[str, str]]) -> str:
    failed = next((_ESCAPE.sub("", text) for kind, text in pieces if kind == "error"), None)
    return f"Item {item}" if failed is None else f"Item {item}: {failed.strip().splitlines()[-1]}"


def _html(item: int, pieces: Sequence[tuple[str, str]]) -> str:
    rows = []
    text: list[tuple[str, str]] = []
    for piece in pieces:
        if piece[0] in _IMAGES:
            rows += [_block(text), f'<img src="{_source(*piece)}">']
            text = []
        else:
            text.append(piece)
    rows.append(_block(text))
    return f"<details><summary>{html.escape(_title(item, pieces))}</summary>{''.join(rows)}</details>"


def _block(pieces: Sequence[tuple[str, str]]) -> str:
    text = _plain(pieces).rstrip()
    return f'<pre style="{_TEXT}">{html.escape(text)}</pre>' if text else ""


def _source(mime: str, data: str) -> str:
    """An image as the address of itself."""
    encoded = b64encode(data.encode()).decode() if mime == "image/svg+xml" else "".join(data.split())
    return html.escape(f"data:{mime};base64,{encoded}")


def _text(item: int, pieces: Sequence[tuple[str, str]]) -> str:
    lines = _plain(pieces).rstrip().splitlines()
    return "\n".join([_title(item, pieces), *(f"  {line}" for line in lines)])
