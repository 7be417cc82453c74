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
