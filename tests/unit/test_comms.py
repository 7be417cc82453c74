"""The comms that the grid kernel opened."""

from __future__ import annotations

from ganga_kernel.comms import GridComms


def test_what_is_open_is_known_and_told_by_target() -> None:
    comms = GridComms()
    assert not comms
    comms.published("comm_open", {"comm_id": "a", "target_name": "jupyter.widget"})
    comms.published("comm_open", {"comm_id": "b", "target_name": "other"})
    assert comms and "a" in comms and "c" not in comms
    assert comms.info("other") == {"b": {"target_name": "other"}}
    assert set(comms.info(None)) == {"a", "b"}
    comms.published("comm_close", {"comm_id": "a"})
    comms.closed("b")
    comms.closed("never there")
    assert not comms and comms.info(None) == {}


def test_ipywidgets_control_comm_is_declined_while_widgets_of_ours_are_open() -> None:
    comms = GridComms()
    control = {"comm_id": "c", "target_name": "jupyter.widget.control"}
    comms.published("comm_open", {"comm_id": "a", "target_name": "other"})
    assert not comms.declines(control)
    comms.published("comm_open", {"comm_id": "b", "target_name": "jupyter.widget"})
    assert comms.declines(control)
    assert not comms.declines({"comm_id": "d", "target_name": "jupyter.widget"})
