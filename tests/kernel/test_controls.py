"""``%job``: a job's panel and buttons, wherever a front end is."""

from __future__ import annotations

from tests.harness import Cell, Kernel, Site
from tests.widgets import ENDLESS, VIEW, button_of, click, send


def test_the_panel_is_kept_up_to_date_here_too_and_the_view_has_a_text(kernel: Kernel) -> None:
    batch = kernel.run(ENDLESS)
    kernel.until_panel(batch, "running")
    shown = kernel.run(f"%job {batch.job}")
    assert shown.states == ["busy", "idle"] and f"Job {batch.job}: running" in shown.panel
    views = [content["data"] for content in shown.of("display_data") if VIEW in content["data"]]
    assert [view["text/plain"] for view in views] == [f"%kill {batch.job} ends it."]
    kernel.run(f"%kill {batch.job}")
    kernel.until_panel(batch, "killed")
    kernel.until_panel(shown, "killed")
    assert not kernel.run(f"%job {batch.job}").of("comm_open")


def test_a_click_reaches_us_while_an_ordinary_cell_is_busy(kernel: Kernel, site: Site) -> None:
    batch = kernel.run(ENDLESS)
    button = button_of(kernel.run(f"%job {batch.job}"))
    gate = site.root / "go-on"
    busy = kernel.send(f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.05)")
    kernel.listen(lambda: busy.states == ["busy"])
    sent = click(kernel, button)
    kernel.until_panel(batch, "killed")
    assert busy.states == ["busy"]
    gate.touch()
    kernel.finish(busy)
    assert sent.states == ["busy", "idle"]


def test_a_click_reaches_us_while_a_cell_waits(kernel: Kernel) -> None:
    batch = kernel.run(f"{ENDLESS}\nnever = 1")
    button = button_of(kernel.run(f"%job {batch.job}"))
    held = kernel.send("never", stop_on_error=False)
    kernel.listen(lambda: held.states == ["busy"])
    click(kernel, button)
    kernel.finish(held)
    assert held.error.startswith("JobKilled")


def test_a_click_reaches_us_while_wait_waits(kernel: Kernel) -> None:
    batch = kernel.run(ENDLESS)
    button = button_of(kernel.run(f"%job {batch.job}"))
    waiting = kernel.send(f"%wait {batch.job}")
    kernel.listen(lambda: waiting.states == ["busy"])
    click(kernel, button)
    assert "killed" in kernel.finish(waiting).text


def test_a_page_that_was_loaded_anew_finds_both_kernels_widgets(kernel: Kernel) -> None:
    batch = kernel.run(ENDLESS)
    button = button_of(kernel.run(f"%job {batch.job}"))
    mine = kernel.run("import ipywidgets\nslider = ipywidgets.IntSlider(7)\nslider.model_id").value
    assert mine is not None
    opening = {"comm_id": "control-1", "target_name": "jupyter.widget.control", "data": {}}
    control = send(kernel, "comm_open", opening)
    kernel.listen(lambda: control.states == ["busy", "idle"])
    assert [content["comm_id"] for content in control.of("comm_close")] == ["control-1"]

    asked = kernel.client.comm_info("jupyter.widget")
    known = Cell(asked)
    kernel.cells[asked] = known
    kernel.listen(lambda: known.reply)
    assert {button, mine.strip("'")} <= set(known.reply["comms"])
    for comm, name in ((button, "ButtonModel"), (mine.strip("'"), "IntSliderModel")):
        state = send(kernel, "comm_msg", {"comm_id": comm, "data": {"method": "request_state"}})
        kernel.listen(lambda state=state: state.of("comm_msg"))
        assert state.of("comm_msg")[0]["data"]["state"]["_model_name"] == name
    click(kernel, button)
    kernel.until_panel(batch, "killed")


def test_a_job_that_isn_t_there(kernel: Kernel) -> None:
    assert kernel.run("%job 4711").error.startswith("BackendError: There is no job 4711.")
    assert kernel.run("%job").error.startswith("OptionError")
