"""JupyterLab's debugger on an ordinary cell."""

from __future__ import annotations

import pytest

from .front_ends import JUPYTERLAB
from .page import Page

LOOP = """
total = 0
for step in range(3):
    total = total + step
print('total', total)
""".strip()


@pytest.mark.parametrize("page", [JUPYTERLAB], ids=lambda front: front.name, indirect=True)
def test_a_cell_stops_at_a_breakpoint_shows_its_variables_and_goes_on(page: Page) -> None:
    page.open("debug", LOOP)
    page.click(".jp-DebuggerBugButton[aria-disabled=false]")
    page.find(".jp-DebuggerBugButton[aria-pressed=true]")
    # The first element of the gutter is invisible and makes it as wide as it should be.
    page.click(".cm-breakpoint-gutter .cm-gutterElement:nth-child(4)")
    page.wait(lambda: "3" in page.text(".jp-DebuggerBreakpoints"), "the breakpoint is listed")
    page.run(0)
    for step, total in enumerate([0, 0, 1]):
        page.wait(
            lambda seen=f"step\n{step}\ntotal\n{total}": seen in page.text(".jp-DebuggerVariables"),
            f"step is {step} and total {total}",
        )
        page.wait(lambda: "[*]:3" in page.text(".jp-DebuggerCallstack"), "the call stack says where it is")
        assert page.cells()[0].prompt == "[*]"
        page.screenshot("debugger")
        page.click("[data-command='debugger:continue'][aria-disabled=false]")
    page.wait_for_text(0, "total 3")
    page.wait_for_prompt(0, "[1]")
