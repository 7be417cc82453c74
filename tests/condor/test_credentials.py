"""The Kerberos credential that a site's jobs need is handed over before they are submitted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ganga_kernel.condor.bindings import load_bindings
from ganga_kernel.errors import SubmitRefused
from tests.condor.conftest import Cluster
from tests.pool import Pool

SEND = {"MY.SendCredential": "true"}


def test_a_credential_that_can_t_be_made_is_told_and_nothing_is_submitted(
    submit: Callable[..., Cluster], pool: Pool
) -> None:
    before = pool.run("condor_q", "-af", "ClusterId")
    says = r"(?s)needs your Kerberos credential.*kinit.*\+SendCredential=false"
    with pytest.raises(SubmitRefused, match=says):
        submit(arguments=["-c", "true"], commands=SEND)
    assert pool.run("condor_q", "-af", "ClusterId") == before


def test_a_job_whose_credential_is_there_says_so_to_the_schedd(
    submit: Callable[..., Cluster], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(load_bindings().param, "SEC_CREDENTIAL_PRODUCER", "CREDENTIAL_ALREADY_STORED")
    cluster = submit(arguments=["-c", "true"], commands={**SEND, "hold": "true"})
    assert pool.run("condor_q", str(cluster.number), "-af", "SendCredential").strip() == "true"


def test_a_job_that_declines_it_is_submitted(submit: Callable[..., Cluster]) -> None:
    submit(arguments=["-c", "true"], commands={"+SendCredential": "False", "hold": "true"})
