"""HTCondor's hold codes in plain words."""

from __future__ import annotations

import pytest

from ganga_kernel.condor.holds import explain


@pytest.mark.parametrize(
    ("code", "subcode", "said", "expected"),
    [
        (1, 0, "via condor_hold (by user ada)", "%hold or condor_hold. %release 7 lets it go on."),
        (34, 102, "gone over memory limit of 2048 megabytes.", "%job 7 --memory 4096MB, then %release 7"),
        (34, 102, "Job used too much memory", "used more memory than it was given. Ask for more"),
        (34, 104, "over its limit of 1.5 GB", "used more disk than it was given. Ask for more and let it"),
        (46, 0, "", "It took longer, its file transfers included, than it was allowed to."),
        (13, 2, "Transfer input files failure", "The system's error was: No such file or directory."),
        (13, 256, "a plugin failed", "A file that it needs could not be sent to it. If that file"),
        (9999, 5, "something new.", "HTCondor put it on hold. Mend the cause"),
        (None, None, "", "HTCondor put it on hold."),
    ],
)
def test_a_code_says_the_cause_and_the_remedy(
    code: int | None, subcode: int | None, said: str, expected: str
) -> None:
    told = explain(code, subcode, said, 7)
    assert expected in told and "{" not in told
    assert told.endswith(f"HTCondor says: {said.rstrip('.')}." if said else ".")
