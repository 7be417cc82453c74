"""Asking why jobs wait."""

from __future__ import annotations

import asyncio
import sys

import pytest

from ganga_kernel.broker.idling import why_idle


@pytest.mark.parametrize("program", ["/nowhere/python", "/bin/false", "/bin/echo"])
def test_an_answer_that_can_t_be_had_is_no_error(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can't be started, fails, or answers with something else."""
    monkeypatch.setattr(sys, "executable", program)
    assert asyncio.run(why_idle({"1.0": 1}, (None, None))) == {}
