"""The kernel as its user sees it, in each of the front ends."""

from __future__ import annotations

import re

import pytest
from selenium.webdriver.common.action_chains import ActionChains

from .conftest import Gates
from .front_ends import JUPYTERLAB
from .page import Batch, Page

BUTTON = "button.jupyter-button"
SLIDER = """
import ipywidgets
slider = ipywidgets.IntSlider(value=3, max=10)
twice = ipywidgets.Label()
slider.observe(lambda change: setattr(twice, 'value', f'twice is {2 * change.new}'), 'value')
ipywidgets.HBox([slider, twice])
""".strip()


def wait_for_slider(page: Page, value: int) -> None:
    """Look until the slider stands there."""
    page.wait(lambda: page.text(".widget-readout") == str(value), f"the slider is at {value}")


def move_slider(page: Page, cell: int, value: int) -> None:
    """Drag the slider under that cell by a tenth, to a value of which Python tells twice as much."""
    tenth = round(page.find(".noUi-base").size["width"] / 10)
    ActionChains(page.driver).drag_and_drop_by_offset(page.find(".noUi-handle"), tenth, 0).perform()
    wait_for_slider(page, value)
    page.wait_for_text(cell, f"twice is {2 * value}")


def test_run_all_shows_panel_outputs_and_values(page: Page) -> None:
    page.open(
        "z-boson",
        "import matplotlib.pyplot as plt\n"
        "import numpy as np\n\n"
        "mass, width = 91.188, 2.4955   # GeV\n\n"
        "def line_shape(energy):\n"
        "    s = energy**2\n"
        "    return s * width**2 / ((s - mass**2)**2 + (s * width / mass)**2)",
        Batch(
            "import socket\n"
            "energy = np.linspace(86, 96, 201)\n"
            "events = 400 * line_shape(energy)\n"
            "print('counted on', socket.gethostname())\n"
            "plt.figure(figsize=(6, 2.6))\n"
            "plt.step(energy, events)\n"
            "plt.xlabel('energy (GeV)')\n"
            "plt.show()\n"
            "int(events.sum())"
        ),
        "print('peak at', energy[events.argmax()].round(2), 'GeV')",
    )
    page.run_all()
    page.wait_for_panel(1, "done")
    page.wait_for_text(2, "peak at")
    page.wait(lambda: any(shown.figure for shown in page.cells()[1].results), "the figure is shown")
    page.wait_for_prompt(2, "[3]")
    page.screenshot("run-all")
    first, batch, last = page.cells()
    assert [first.prompt, batch.prompt, last.prompt] == ["[1]", "[2]", "[3]"]
    assert first.outputs == []
    assert re.match(r"done\s+Job \d+\s+Local · ", batch.panel.text), batch.panel.text
    assert batch.outputs[0] == batch.panel
    stream, figure, value = batch.results
    assert stream.text.startswith("counted on ")
    assert figure.figure
    assert value.prompt == "[2]"
    assert value.text.strip() == "26478"
    assert last.text == "peak at 91.15 GeV"


def test_panels_go_on_while_an_ordinary_cell_is_busy(page: Page, gates: Gates) -> None:
    page.open(
        "busy",
        gates.DEFINITION,
        Batch("wait_for('first')\nprint('one')\none = 1"),
        Batch("wait_for('second')\nprint('two')\ntwo = 2"),
        "print('begun')\nwait_for('third')",
        "print('sum', one + two)",
    )
    page.run_all()
    page.wait_for_panel(1, "running")
    page.wait_for_panel(2, "queued")
    assert "It waits for a free core: local jobs may use 1 at a time." in page.cells()[2].panel.text
    page.wait_for_text(3, "begun")
    page.screenshot("busy")
    gates.open("first")
    page.wait_for_panel(1, "done")
    page.wait_for_text(1, "one")
    page.wait_for_panel(2, "running")
    gates.open("second")
    page.wait_for_panel(2, "done")
    page.wait_for_text(2, "two")
    assert [cell.prompt for cell in page.cells()] == ["[1]", "[2]", "[3]", "[*]", "[*]"]
    gates.open("third")
    page.wait_for_text(4, "sum 3")
    page.wait_for_prompt(4, "[5]")
    assert [cell.prompt for cell in page.cells()] == ["[1]", "[2]", "[3]", "[4]", "[5]"]


def test_a_failed_batch_cell_shows_its_traceback_and_so_does_who_reads_its_name(page: Page) -> None:
    page.open(
        "fails",
        "divisor = 0",
        Batch("# a comment\nratio = 1\nratio = ratio / divisor"),
        "print(ratio)",
    )
    for cell in range(3):
        page.run(cell)
    page.wait_for_panel(1, "failed")
    page.wait_for_text(1, "ZeroDivisionError: division by zero")
    page.wait_for_text(2, "ZeroDivisionError: division by zero")
    page.screenshot("failed")
    first, batch, last = page.cells()
    assert [first.prompt, batch.prompt, last.prompt] == ["[1]", "[2]", "[3]"]
    line = 3 if page.front.tags else 4  # %%batch is the first
    for cell in batch, last:
        (error,) = cell.results
        assert error.error
        assert re.search(rf"-+> *{line} ratio = ratio / divisor", error.text), error.text

    again = page.run_new("divisor + 41 + 1")
    page.wait_for_text(again, "42")
    assert page.cells()[again].prompt == "[4]"


def test_ordinary_cells_have_widgets_and_ask_for_input(page: Page) -> None:
    page.open("ordinary", SLIDER, "name = input('Your name? ')\nprint('Hello', name)")
    page.run(0)
    wait_for_slider(page, 3)
    move_slider(page, 0, 4)
    tells = page.run_new("print('moved to', slider.value)")
    page.wait_for_text(tells, "moved to 4")
    page.run_new("slider.value = 7")
    wait_for_slider(page, 7)
    page.wait_for_text(0, "twice is 14")

    page.run(1)
    page.answer("Ada")
    page.wait_for_text(1, "Hello Ada")
    page.screenshot("ordinary")


def test_an_interrupt_ends_the_cell_and_no_job_and_a_restart_begins_anew(page: Page, gates: Gates) -> None:
    page.open(
        "interrupt",
        gates.DEFINITION,
        Batch("wait_for('first')\nslow = 'came back'"),
        "print('slow', slow)",
        "print('begun')\nwait_for('second')",
    )
    for cell in range(3):
        page.run(cell)
    page.wait_for_panel(1, "running")
    page.wait_for_prompt(2, "[*]")
    # Not for the eye alone: a server that ends idle kernels must not end one that waits.
    page.wait(lambda: page.kernel()["status"] == "busy", "the page calls the kernel busy")
    (session,) = page.server.ask("sessions")
    assert session["kernel"]["execution_state"] == "busy"
    page.interrupt()
    page.wait_for_text(2, "KeyboardInterrupt")
    page.wait_for_prompt(2, "[3]")
    page.run(3)
    page.wait_for_text(3, "begun")
    page.interrupt()
    page.wait_for_text(3, "KeyboardInterrupt")
    page.wait_for_prompt(3, "[4]")
    assert page.cells()[1].panel.badge == "running"
    page.screenshot("interrupted")

    gates.open("first")
    page.wait_for_panel(1, "done")
    page.run(2)
    page.wait_for_text(2, "slow came back")
    page.wait_for_prompt(2, "[5]")

    gates.open("second")
    page.restart_and_run_all()
    page.wait(
        lambda: (
            [(cell.prompt, cell.text) for cell in page.cells()]
            == [("[1]", ""), ("[2]", ""), ("[3]", "slow came back"), ("[4]", "begun")]
        ),
        "all cells ran again, numbered anew",
    )
    page.wait_for_panel(1, "done")


def test_a_reloaded_page_reads_right_and_its_kernel_still_answers(page: Page, gates: Gates) -> None:
    page.open("reload", gates.DEFINITION, Batch("wait_for('first')\nkept = 'kept'"), SLIDER)
    page.run_all()
    page.wait_for_panel(1, "running")
    wait_for_slider(page, 3)
    move_slider(page, 2, 4)
    before = page.kernel()["id"]
    page.save_and_reload()

    assert page.kernel()["id"] == before
    page.wait_for_panel(1, "running")
    panel = page.cells()[1].panel.text
    number = re.search(r"Job (\d+)", panel)
    assert number, panel
    assert re.search(r"As of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\. ", panel), panel
    assert f"%wait {number[1]} waits for it" in panel
    wait_for_slider(page, 4)
    move_slider(page, 2, 5)
    tells = page.run_new("print('moved to', slider.value)")
    page.wait_for_text(tells, "moved to 5")
    page.screenshot("reloaded")

    gates.open("first")
    reads = page.run_new("print(kept)")
    page.wait(lambda: page.cells()[reads].text == "kept", "the value came back")
    jobs = page.run_new(f"%wait {number[1]}")
    page.wait_for_text(jobs, "done")
    page.screenshot("reloaded-after")


@pytest.mark.parametrize("page", [JUPYTERLAB], ids=lambda front: front.name, indirect=True)
def test_the_button_of_a_job_works_after_a_reload(page: Page, gates: Gates) -> None:
    page.open("button", gates.DEFINITION, Batch("wait_for('first')"))
    page.run_all()
    page.wait_for_panel(1, "running")
    number = re.search(r"Job (\d+)", page.cells()[1].panel.text)
    assert number
    page.run_new(f"%job {number[1]}")
    page.wait(lambda: page.text(BUTTON) == f"Kill job {number[1]}", "the button is there")
    page.save_and_reload()
    page.wait(lambda: page.text(BUTTON) == f"Kill job {number[1]}", "the button is there again")
    page.click(BUTTON)
    waits = page.run_new(f"%wait {number[1]}")
    page.wait_for_text(waits, "killed")
    assert not page.enabled(BUTTON)
    page.screenshot("button-after-reload")
