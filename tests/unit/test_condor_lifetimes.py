"""What is said of credentials that end."""

from __future__ import annotations

import pytest

from ganga_kernel.broker import backends
from ganga_kernel.condor import lifetimes
from ganga_kernel.condor.lifetimes import Credential, ended, too_short
from ganga_kernel.sites import SITES

LASTS = Credential("token lasting", None)
SHORT = Credential("token short", 1000.0 + 300)
GONE = Credential("Kerberos ticket", 1000.0 - 7200)


@pytest.mark.parametrize(
    ("credentials", "runtime", "says"),
    [
        ([], 60, ""),
        ([SHORT, LASTS], 10**6, ""),
        ([SHORT], 299, ""),
        ([SHORT], None, ""),
        (
            [SHORT, GONE],
            7200,
            "Your token short ends in 5 min, and the job may run for 2 h: renew it meanwhile",
        ),
        ([GONE], None, "Your Kerberos ticket ended 2 h ago: renew it. Jobs go on"),
    ],
)
def test_the_one_that_lasts_longest_counts(
    credentials: list[Credential], runtime: float | None, says: str
) -> None:
    said = too_short(credentials, runtime, 1000.0)
    assert said.startswith(says) and bool(said) == bool(says)


def test_what_has_ended_is_told_only_if_nothing_lasts() -> None:
    assert ended([GONE, SHORT], 1000.0) == ended([], 1000.0) == ended([LASTS, GONE], 1000.0) == ""
    assert ended([GONE], 1000.0).startswith("Your Kerberos ticket ended 2 h ago")


def test_credentials_are_looked_at_only_where_a_job_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifetimes, "tickets", lambda: [GONE])
    monkeypatch.setattr(lifetimes, "tokens", lambda _: [])
    job = {"backend": "HTCondor", "resources": {}}
    cern = SITES["cern"]().known()
    assert backends.caution(job, {}) == backends.caution({**job, "backend": "Local"}, cern) == ""
    assert "ticket ended" in backends.caution(job, cern)
    assert backends.caution({**job, "resources": {"set": [["+SendCredential", "false"]]}}, cern) == ""
    assert "ticket ended" in backends.caution({**job, "resources": {"schedd": "s"}}, {})
