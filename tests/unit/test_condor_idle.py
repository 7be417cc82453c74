"""Why a job waits in HTCondor's queue, from ads."""

from __future__ import annotations

from typing import Any

import pytest
from classad2 import ClassAd
from hypothesis import given
from hypothesis import strategies as st

from ganga_kernel.condor.idle import Pool, accounts, alike, own_terms, slot_of, split, wanted, why_idle

_OWN = '(TARGET.OpSys == "LINUX") && (TARGET.Memory >= RequestMemory)'


def _ad(**values: Any) -> ClassAd:
    """An ad; a value that is a string is an expression."""
    return ClassAd("[" + ";".join(f"{name} = {value}" for name, value in values.items()) + "]")


def _job(requirements: str = "true", **values: Any) -> ClassAd:
    usual = {"RequestMemory": 200, "RequestCpus": 1, "RequestDisk": 1024, "User": '"ada@local"'}
    return _ad(Requirements=f"({requirements}) && {_OWN}", **{**usual, **values})


def _slots(count: int = 16, **values: Any) -> list[Any]:
    usual = {
        "OpSys": '"LINUX"', "Arch": '"X86_64"', "State": '"Unclaimed"', "SlotType": '"Static"',
        "Requirements": "Start && WithinResourceLimits", "Start": "true", "WithinResourceLimits": "false",
        "Memory": 1024, "Cpus": 1, "Disk": 10**6, "GPUs": 0,
    }  # fmt: skip
    return [slot_of(_ad(**{**usual, **values})) for _ in range(count)]


def _said(job: ClassAd, slots: list[Any], pool: Pool | None = None) -> str:
    return why_idle(job, slots, pool or Pool(_ad(), _ad())).told(7)


_BUSY = {"State": '"Claimed"'}
_DIVIDED = {
    "SlotType": '"Partitionable"',
    "TotalSlotMemory": 24 * 1024,
    "TotalSlotCpus": 16,
    "TotalSlotDisk": 10**6,
}


@pytest.mark.parametrize(
    ("job", "slots", "expected"),
    [
        (_job(), [], "The pool has no machine at the moment: it waits until one comes."),
        (_job(RequestMemory=512000), _slots(**_DIVIDED), "No slot of the pool has the 500GB of memory that "
         "it asks for: the largest has 24GB. Ask for less: %job 7 --memory 24GB."),
        (_job(RequestMemory=512000), _slots(Memory=16129), "the largest has 16129MB. Ask for less"),
        (_job(RequestCpus=64), _slots(**_DIVIDED), "has the 64 cores that it asks for: the largest has 16. "
         "Ask for less: %job 7 --cpus 16."),
        (_job(RequestGPUs=1), _slots(), "the 1 GPU that it asks for: none has any. %kill 7 ends it; then run "
         "the cell again without --gpus."),
        (_job('Arch == "SPARC"'), _slots(), "None of the pool's slots (16) meets Arch == \"SPARC\", which it "
         "requires. %kill 7 ends it; then run the cell again with other --requirements."),
        (_job('member(Arch, {"A", "B"})'), _slots(), "member(Arch, { \"A\", \"B\" }), which it requires."),
        (_job("HasLuck"), _slots(), "meets HasLuck, which it requires."),
        (_job(), _slots(Start="false"), "None of the pool's slots (16) takes such a job by its own rule "
         "(START). Ask whoever runs the pool"),
        (_job(), _slots(Start='User == "bob@local"'), "own rule (START): User == \"bob@local\"."),
        (_job(RequestMemory=2000), [*_slots(8), *_slots(8, Memory=4096, OpSys='"VMS"')],
         "None of the pool's slots (16) has all that it asks for: 8 have less than 1.95GB of memory, 8 "
         "don't meet TARGET.OpSys == \"LINUX\". Ask for less: %job 7 --memory 1GB."),
        (_job(), _slots(**_BUSY), "All 16 slots that fit it are busy: it starts when one of them is free."),
        (_job(), [*_slots(1, **_BUSY), *_slots(3, Start="false")],
         "The only slot of the pool's 4 that fits it is busy: it starts when that is free."),
        (_job(), _slots(1, **{**_DIVIDED, "Cpus": 0}), "The only slot that fits it is busy"),
        (_job(), _slots(1, **_DIVIDED), "next negotiation: a slot that fits it is free."),
        (_job(), [*_slots(15, **_BUSY), *_slots(3)], "negotiation: 3 slots that fit it are free."),
        (_job(LastMatchTime=9, LastRejMatchTime=8), _slots(), "HTCondor has found a slot for it"),
        (_job(LastRejMatchTime=8, LastRejMatchReason='"concurrency limit licence reached"'), _slots(),
         "A limit on licence that jobs of the pool share is used up"),
        (_job(LastRejMatchTime=8, LastRejMatchReason='"submitter limit exceeded"'), _slots(),
         "You are at your limit: your jobs use their share of the pool."),
        (_job(LastRejMatchTime=8, LastRejMatchReason='"insufficient priority"'), _slots(2),
         "The slots go to jobs of a better priority first, though 2 slots that fit it are free now."),
    ],
)  # fmt: skip
def test_it_says_why_and_what_to_do(job: ClassAd, slots: list[Any], expected: str) -> None:
    assert expected in _said(job, slots)


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (Pool(_ad(LastNegotiationCyclePeriod0=60), _ad()), "next negotiation, which comes every 60 s:"),
        (Pool(_ad(), _ad(TotalRunningJobs=10, MaxJobsRunning=10)), "The schedd runs as many jobs as it may,"),
        (Pool(_ad(), _ad(), [_ad(Name='"ada@local"', Ceiling=4, WeightedResourcesUsed=4.0)]),
         "You are at your limit: your jobs use 4 cores, and may use 4."),
        (Pool(_ad(), _ad(), [_ad(Name='"ada@local"', Ceiling=-1, WeightedResourcesUsed=4.0)]), "It waits"),
        (Pool(_ad(), _ad(), [_ad(Name='"bob@local"', Ceiling=4, WeightedResourcesUsed=4.0)]), "It waits"),
        (Pool(_ad(), _ad(), [_ad(Name='"physics"', IsAccountingGroup="true", EffectiveQuota=8.0,
                                 WeightedResourcesUsed=8.0, SurplusPolicy='"no"')]),
         "The group physics is at its limit: its jobs use 8 cores, of 8."),
    ],
)  # fmt: skip
def test_limits_of_pool_and_schedd_are_named(pool: Pool, expected: str) -> None:
    assert expected in _said(_job(AcctGroup='"physics"', AccountingGroup='"physics.ada"'), _slots(), pool)


def test_only_what_the_conditions_need_is_asked_for() -> None:
    assert wanted(_job('Arch == "SPARC"')) == {"Arch", "OpSys", "Memory"}
    assert own_terms(_slots(1, Start="MyRule > 3 && true")[0].ad) == {"MyRule"}
    assert accounts(_job(AccountingGroup='"g.ada"')) == {"ada@local", "g.ada", "g.ada@local"}
    assert alike(_job()) == alike(_job(ProcId=5)) != alike(_job(RequestMemory=300))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(a && (b || c)) && (d)", ["a", "b || c", "d"]),
        ("a && b || c", ["a && b || c"]),
        ("(a) && (b)", ["a", "b"]),
        ("x ? a && b : c", ["x ? a && b : c"]),
        ('name == "a && (b" && f(c && d)', ['name == "a && (b"', "f(c && d)"]),
    ],
)
def test_an_expression_is_split_into_its_conditions(text: str, expected: list[str]) -> None:
    assert [condition.strip() for condition in split(text)] == expected


@given(st.recursive(
    st.sampled_from(["a", "b", '"(&&"', "f(a && b)", "{a, b}"]),
    lambda inner: st.builds("({}{}{})".format, inner, st.sampled_from([" && ", " || "]), inner),
))  # fmt: skip
def test_the_conditions_of_any_expression_add_up_to_it(text: str) -> None:
    conditions = split(text)
    assert all(split(condition) == [condition] for condition in conditions)
    alone = [token for token in text if token.isalpha()]
    assert [token for condition in conditions for token in condition if token.isalpha()] == alone
