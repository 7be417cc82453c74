"""What is asked of a schedd, where no pool of the tests' would refuse it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from ganga_kernel.condor.schedd import Schedd
from ganga_kernel.errors import SubmitRefused

_ITEMS = [{"task": str(n)} for n in range(5)]


class NeverLate(Schedd):
    """One with SCHEDD_ALLOW_LATE_MATERIALIZE = false, in the words of HTCondor 25.14."""

    def _submit(self, description: Mapping[str, str], items: Sequence[Mapping[str, str]]) -> int:
        if {"max_idle", "max_materialize"} & description.keys():
            raise SubmitRefused("HTCondor refused the job: Failed to send item data (late materialization),")
        return len(items)


def test_a_schedd_without_late_materialization_gets_all_at_once() -> None:
    assert NeverLate().submit({}, _ITEMS, max_idle=2) == 5


def test_what_the_user_asked_for_is_not_left_out() -> None:
    with pytest.raises(SubmitRefused):
        NeverLate().submit({"max_materialize": "2"}, _ITEMS, max_idle=2)
