"""Other schedds than this machine's: how they are named, and what is refused."""

from __future__ import annotations

import pytest

from ganga_kernel.broker import backends, clusters
from ganga_kernel.condor import guards, schedd
from ganga_kernel.condor.schedd import Schedd, nearest
from ganga_kernel.errors import BackendError, OptionError, SubmitRefused
from ganga_kernel.options import from_line


def test_a_schedd_is_asked_for_as_a_resource_is_and_stored_with_the_job() -> None:
    chosen = from_line("--schedd bigbird@b7.cern.ch --pool cm.cern.ch:9618")
    assert chosen.resources() == {"schedd": "bigbird@b7.cern.ch", "pool": "cm.cern.ch:9618"}
    assert chosen.describe() == "--schedd bigbird@b7.cern.ch --pool cm.cern.ch:9618"
    assert clusters.where({"resources": chosen.resources()}) == ("bigbird@b7.cern.ch", "cm.cern.ch:9618")
    assert clusters.where({"resources": {}}) == (None, None)
    assert chosen.over(from_line("--schedd other")).schedd == "bigbird@b7.cern.ch"


@pytest.mark.parametrize("address", ["cm", "10.0.0.1:9618", "[::1]:9618"])
def test_addresses_of_collectors(address: str) -> None:
    assert from_line(f"--pool {address}").pool == address


@pytest.mark.parametrize(
    "line", ["--pool cm:0", "--pool cm:70000", "--pool cm:x", "--pool 'a b'", "--schedd 'a\" || true'"]
)
def test_what_names_no_collector_or_schedd_is_an_error(line: str) -> None:
    with pytest.raises(OptionError, match="can't be used"):
        from_line(line)


def test_a_pool_without_a_schedd_and_another_backend_are_refused() -> None:
    with pytest.raises(BackendError, match="no schedd is named"):
        backends.check_resources("HTCondor", {"pool": "cm"})
    with pytest.raises(BackendError, match="Local can't be asked for schedd"):
        backends.check_resources("Local", {"schedd": "b7"})


@pytest.mark.parametrize(
    ("name", "names", "said"),
    [
        ("b7", ["b7.cern.ch", "c1.cern.ch"], "There are: b7.cern.ch (1 more);"),
        ("bigbrid", ["other", "bigbird"], "There are: bigbird (1 more);"),
        ("x", ["one", "two", "three", "four"], "There are: one, two, three (1 more);"),
        ("x", [], "It knows none at all: give the --pool"),
    ],
)
def test_the_nearest_schedds_are_named(name: str, names: list[str], said: str) -> None:
    assert nearest(name, names).startswith(said)


def test_a_schedd_elsewhere_needs_a_spool_that_it_can_see() -> None:
    for kind, elsewhere in (("ext4", False), ("nfs4", True), ("unknown", True)):
        guards.check_shared("b7", kind, elsewhere)
    with pytest.raises(SubmitRefused, match=r"b7 is on another machine.*\(ext4\)"):
        guards.check_shared("b7", "ext4", True)


def test_the_slots_of_the_job_s_own_pool_count() -> None:
    assert backends.asked_of_a_slot({"pool": "cm"})["pool"] == "cm"
    assert backends.asked_of_a_slot({})["pool"] is None


@pytest.mark.parametrize(
    ("said", "whose"),
    [
        (
            "SECMAN:2007:This service is running, but did not respond in a reasonable time.",
            "can't be reached",
        ),
        ('SECMAN:2010:Received "DENIED" from server for user', "did not accept who we are"),
    ],
)
def test_a_schedd_that_is_slow_has_nothing_against_us(
    said: str, whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedd, "configuration", lambda: "/etc/condor/condor_config")
    monkeypatch.setattr(schedd, "_known_versions", lambda *_: "")
    assert f"The schedd far@away {whose}: {said}" in str(Schedd("far@away", "127.0.0.1:1")._unreachable(said))
