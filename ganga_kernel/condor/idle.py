"""Why a job waits in HTCondor's queue, and what to do about it: from ads to a sentence. Pure.

The daemons themselves match the job's ad with those of the slots; here the same is done condition by
condition, to say which of them leaves no slot. A partitionable slot counts with all that it has: what is in
use there now says when the job starts, not whether.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from classad2 import ClassAd, ExprTree

from ..options import size, spell_size

#: What jobs ask slots for: our option -> attribute of slots, and the bytes of one if it is a size.
_RESOURCES = {"memory": ("Memory", 2**20), "cpus": ("Cpus", 0), "disk": ("Disk", 2**10), "gpus": ("GPUs", 0)}
#: The slot's own condition that it has enough of everything, which is looked at by itself.
_ENOUGH = "WithinResourceLimits"
#: Attributes of a slot that are read here.
SLOT_ATTRIBUTES = (
    *("Name", "State", "SlotType", "Requirements", "Start"),
    *(prefix + name for name, _ in _RESOURCES.values() for prefix in ("", "TotalSlot")),
)
#: Attributes of a negotiator's, an accounting's and a schedd's ad that are read here.
POOL_ATTRIBUTES = (
    "LastNegotiationCyclePeriod0", "Ceiling", "SubmitterLimit", "WeightedResourcesUsed", "IsAccountingGroup",
    "EffectiveQuota", "SurplusPolicy", "AccountingGroup", "Name", "TotalRunningJobs", "MaxJobsRunning",
)  # fmt: skip
#: The longest expression that a sentence quotes, in characters.
_QUOTED = 160
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[A-Za-z_]\w*|\|\||&&|\d[\w.]*|.', re.DOTALL)
_WORDS = frozenset("true false undefined error is isnt my target parent".split())


class Pool(NamedTuple):
    """What is known of a pool beside its slots; empty where it isn't known.

    Attributes
    ----------
    negotiator, schedd: their ads
    accounting: the negotiator's ads of submitters and accounting groups
    """

    negotiator: ClassAd
    schedd: ClassAd
    accounting: Sequence[ClassAd] = ()


class Reason(NamedTuple):
    """Why a job waits.

    Attributes
    ----------
    why: sentences
    remedy: what the user can do, with ``{job}`` for the job's number; "" if there is nothing to do
    """

    why: str
    remedy: str = ""

    def told(self, job: int) -> str:
        """All of it, for a job with this number of ours."""
        return f"{self.why} {self.remedy.format(job=job)}".rstrip()


class Slot(NamedTuple):
    """A slot as a job sees it.

    Attributes
    ----------
    ad: with all that it has, whatever is in use
    free: how much of each resource is free, by attribute
    taken: whether it is in use as a whole
    rules: its own conditions for jobs, as they stand and to evaluate
    """

    ad: ClassAd
    free: dict[str, float]
    taken: bool
    rules: list[tuple[str, ExprTree]]


class Condition(NamedTuple):
    """What a slot must be like for the job.

    Attributes
    ----------
    failing: the slots that aren't
    said: what these do, after "8 of them "
    nobody: the sentence for when no slot is like that
    remedy: what to do if this is what is in the way
    resource: the option by which the job asks for it; "" if by none
    """

    failing: frozenset[int]
    said: str
    nobody: str
    remedy: str
    resource: str = ""


def slot_of(ad: ClassAd) -> Slot:
    """A slot from its ad, as the collector gives it."""
    free, whole = {}, ClassAd(dict(ad))
    for name, _ in _RESOURCES.values():
        free[name] = _number(ad, name) or 0.0
        total = _number(ad, f"TotalSlot{name}")
        if total is not None:
            whole[name] = total
    state = str(ad.get("State", ""))
    partitionable = ad.get("SlotType") == "Partitionable"
    own = _own(whole)
    rules = [(text, _compiled(text, own)) for text in _conditions_of(whole)]
    return Slot(whole, free, state == "Drained" or (not partitionable and state != "Unclaimed"), rules)


def wanted(job: ClassAd) -> set[str]:
    """The attributes of slots to which a job's requirements refer."""
    return _foreign(job, "Requirements")


def own_terms(slot: ClassAd) -> set[str]:
    """The attributes of its own to which a slot's conditions for jobs refer."""
    return {
        name
        for condition in _conditions_of(slot)
        for name in _names(condition)
        if name.casefold() not in _WORDS
    }


def accounts(job: ClassAd) -> set[str]:
    """The names under which the negotiator may account for a job: its user's, and its accounting group's."""
    user, group = str(job.get("User", "")), str(job.get("AccountingGroup", ""))
    named = {user, group, f"{group}@{user.rpartition('@')[2]}", str(job.get("AcctGroup", ""))}
    return {name for name in named if name and not name.startswith("@")}


def alike(job: ClassAd) -> tuple[Any, ...]:
    """Equal for jobs that wait for the same reason."""
    names = ("AutoClusterId", "Requirements", "LastRejMatchReason", "User", "AccountingGroup")
    matched = bool(_rejected(job)), "LastMatchTime" in job
    return (*(str(job.get(name)) for name in names), *map(str, _requests(job).values()), *matched)


def why_idle(job: ClassAd, slots: Sequence[Slot], pool: Pool) -> Reason:
    """Why a job of the queue isn't running, and what the user can do.

    Parameters
    ----------
    job: its ad
    slots: all slots of the pool, without those that were split off a partitionable one
    """
    if not slots:
        return Reason("The pool has no machine at the moment: it waits until one comes.")
    conditions = _conditions(job, slots)
    unfit = frozenset().union(*(condition.failing for condition in conditions))
    if len(unfit) == len(slots):
        return _nowhere(conditions, slots)
    fitting = [slot for i, slot in enumerate(slots) if i not in unfit]
    mine = accounts(job)
    own = [ad for ad in pool.accounting if ad.get("Name") in mine]
    return Reason(_limited(job, pool.schedd, own) or _later(job, fitting, len(slots), pool.negotiator))


# ------------------------------------------------------------------ no slot fits


def _conditions(job: ClassAd, slots: Sequence[Slot]) -> list[Condition]:
    """All conditions that a slot fails."""
    found = [
        condition
        for option in _RESOURCES
        if (condition := _resource(option, job, slots)) and condition.failing
    ]
    own = _own(job)
    scarce = frozenset().union(*(condition.failing for condition in found))
    for text in split(_text(job.get("Requirements", True))):
        condition = _compiled(text, own)
        failing = frozenset(i for i, slot in enumerate(slots) if condition.eval(job, slot.ad) is not True)
        repeats = re.search(r"\bRequest[A-Z]\w*", text) and failing <= scarce  # HTCondor itself adds these
        if failing and not repeats:
            found.append(
                Condition(
                    failing,
                    f"don't meet {_quoted(text)}",
                    f"None of the pool's slots ({len(slots)}) meets {_quoted(text)}, which it requires.",
                    "%kill {job} ends it; then run the cell again with other --requirements.",
                )
            )
    if unwilling := _unwilling(job, slots):
        found.append(unwilling)
    return found


def _resource(option: str, job: ClassAd, slots: Sequence[Slot]) -> Condition | None:
    """That a slot has as much of a resource as the job asks for; None if it asks for none."""
    name, unit = _RESOURCES[option]
    asked = _number(job, f"Request{name}")
    if not asked:
        return None
    has = [_number(slot.ad, name) or 0.0 for slot in slots]
    much = _spoken(option, asked)
    of = f" of {option}" if unit else ""
    largest = f"the largest has {_amount(option, max(has))}" if max(has) else "none has any"
    return Condition(
        frozenset(i for i, amount in enumerate(has) if amount < asked),
        f"have less than {much}{of}",
        f"No slot of the pool has the {much}{of} that it asks for: {largest}.",
        _less(option, max(has)),
        option,
    )


def _unwilling(job: ClassAd, slots: Sequence[Slot]) -> Condition | None:
    """That a slot takes the job by its owner's rules. One that can't be evaluated here excludes nothing."""
    refusing: dict[int, str] = {}
    for i, slot in enumerate(slots):
        broken = next((text for text, rule in slot.rules if rule.eval(slot.ad, job) is False), None)
        if broken is not None:
            refusing[i] = broken
    if not refusing:
        return None
    rules = sorted(set(refusing.values()))
    named = f": {_quoted(rules[0])}" if len(rules) == 1 and rules[0].casefold() != "false" else ""
    return Condition(
        frozenset(refusing),
        "don't take such jobs by a rule of their own",
        f"None of the pool's slots ({len(slots)}) takes such a job by its own rule (START){named}.",
        "Ask whoever runs the pool which jobs they take.",
    )


def _nowhere(conditions: list[Condition], slots: Sequence[Slot]) -> Reason:
    """What to say of a job that fits no slot, whatever else runs."""
    everywhere = [condition for condition in conditions if len(condition.failing) == len(slots)]
    if everywhere:
        said = [condition.nobody for condition in everywhere]
        remedies = dict.fromkeys(condition.remedy for condition in everywhere)
        return Reason(" ".join(said), " ".join(remedies))
    counts = ", ".join(f"{len(condition.failing)} {condition.said}" for condition in conditions)
    alone = {  # where nothing else is in the way
        condition: condition.failing.difference(
            *(other.failing for other in conditions if other is not condition)
        )
        for condition in conditions
    }
    best = max(alone, key=lambda condition: len(alone[condition]))
    remedy = best.remedy
    if not alone[best]:
        remedy = "Ask for less of what they lack."
    elif best.resource:
        name, _ = _RESOURCES[best.resource]
        remedy = _less(best.resource, max(_number(slots[i].ad, name) or 0.0 for i in alone[best]))
    return Reason(f"None of the pool's slots ({len(slots)}) has all that it asks for: {counts}.", remedy)


def _less(option: str, most: float) -> str:
    """The remedy for a job that asks for more of a resource than there is."""
    if most <= 0:
        return f"%kill {{job}} ends it; then run the cell again without --{option}."
    return f"Ask for less: %job {{job}} --{option} {_amount(option, most)}."


# ------------------------------------------------------------------ slots fit


def _limited(job: ClassAd, schedd: ClassAd, accounting: Sequence[ClassAd]) -> str:
    """The sentence for a job that a limit of pool or schedd keeps back; "" if none does."""
    running, most = _number(schedd, "TotalRunningJobs"), _number(schedd, "MaxJobsRunning")
    if most and running is not None and running >= most:
        return f"The schedd runs as many jobs as it may, {most:.0f}: it starts when one of them ends."
    rejected = _rejected(job)
    shared = re.match(r"concurrency limit\s*(\S*)", rejected)
    if shared:
        named = f" on {shared[1]}" if shared[1] not in ("", "reached") else ""
        return f"A limit{named} that jobs of the pool share is used up: it starts when one of them ends."
    for ad in accounting:
        if limit := _limit(ad):
            return limit
    if rejected.startswith("submitter limit"):
        return (
            "You are at your limit: your jobs use their share of the pool. It starts when one of them ends."
        )
    return ""


def _limit(ad: ClassAd) -> str:
    """The sentence for a user at their ceiling, or a group at its quota, from the negotiator's accounting."""
    used = _number(ad, "WeightedResourcesUsed") or 0.0
    if ad.get("IsAccountingGroup"):
        quota = _number(ad, "EffectiveQuota") or 0.0
        if 0 < quota <= used and ad.get("SurplusPolicy", "no") == "no":
            return (
                f"The group {ad.get('Name')} is at its limit: its jobs use {used:g} cores, of {quota:g}. "
                "It starts when one of them ends."
            )
        return ""
    ceiling = _number(ad, "Ceiling")
    if ceiling is not None and 0 <= ceiling <= used:
        may = f"may use {ceiling:g}. It starts when one of them ends."
        return f"You are at your limit: your jobs use {used:g} cores, and {may}"
    return ""


def _later(job: ClassAd, fitting: list[Slot], total: int, negotiator: ClassAd) -> str:
    """The sentence for a job that only has to wait."""
    free = sum(_is_free(slot, job) for slot in fitting)
    of = f" of the pool's {total}" if len(fitting) < total else ""
    if not free:
        if len(fitting) == 1:
            return f"The only slot{of} that fits it is busy: it starts when that is free."
        return f"All {len(fitting)} slots{of} that fit it are busy: it starts when one of them is free."
    if (_number(job, "LastMatchTime") or 0) > (_number(job, "LastRejMatchTime") or 0):
        return "HTCondor has found a slot for it, where it is to start next."
    period = _number(negotiator, "LastNegotiationCyclePeriod0") or 0
    every = f", which comes every {period:.0f} s" if period >= 1 else ""
    fit = "a slot that fits it is free" if free == 1 else f"{free} slots that fit it are free"
    if "priority" in (said := _rejected(job)) or said.startswith("PREEMPTION"):
        return f"The slots go to jobs of a better priority first, though {fit} now."
    return f"It waits for HTCondor's next negotiation{every}: {fit}."


def _is_free(slot: Slot, job: ClassAd) -> bool:
    """Whether the job could start there now."""
    return not slot.taken and all(slot.free[name] >= amount for name, amount in _requests(job).items())


def _requests(job: ClassAd) -> dict[str, float]:
    """How much of each resource a job asks for, by attribute."""
    return {name: _number(job, f"Request{name}") or 0.0 for name, _ in _RESOURCES.values()}


def _rejected(job: ClassAd) -> str:
    """Why the negotiator left the job last time; "" if it found a slot since, or didn't look yet."""
    newer = (_number(job, "LastRejMatchTime") or 0) >= (_number(job, "LastMatchTime") or 0)
    return str(job.get("LastRejMatchReason", "")) if newer else ""


# ------------------------------------------------------------------ ClassAd expressions


def split(text: str) -> list[str]:
    """The conditions that an expression joins with ``&&``, outermost parentheses taken off."""
    text = _bare(text.strip())
    depth, begin, found = 0, 0, []
    for token in _TOKEN.finditer(text):
        if token[0] in "([{":
            depth += 1
        elif token[0] in ")]}":
            depth -= 1
        elif depth == 0 and token[0] in ("||", "?"):  # they bind less than &&: it is one condition
            return [text]
        elif depth == 0 and token[0] == "&&":
            found.append(text[begin : token.start()])
            begin = token.end()
    if not found:
        return [text]
    return [condition for part in (*found, text[begin:]) for condition in split(part)]


def _bare(text: str) -> str:
    """An expression without parentheses around the whole of it."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += (token[0] == "(") - (token[0] == ")")
        if depth == 0:
            whole = token[0] == ")" and token.end() == len(text)
            return _bare(text[1:-1].strip()) if whole else text
    return text


def _conditions_of(slot: ClassAd) -> list[str]:
    """A slot's own conditions for jobs; those that it only names are given in full."""
    found = []
    for condition in split(_text(slot.get("Requirements", True))):
        if condition.casefold() == _ENOUGH.casefold():
            continue
        named = slot.get(condition) if condition.isidentifier() else None
        found += [condition] if named is None else split(_text(named))
    return found


def _text(value: Any) -> str:
    """A value of an ad as it stands there."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _own(ad: ClassAd) -> frozenset[str]:
    """The names of an ad's attributes."""
    return frozenset(name.casefold() for name in ad)


@lru_cache(maxsize=1024)
def _compiled(text: str, own: frozenset[str]) -> ExprTree:
    """An expression in which a name that isn't one of the ad's `own` means the other ad's.

    The daemons take it so; the bindings need it said.
    """
    parts, before = [], ""
    tokens = [token[0] for token in _TOKEN.finditer(text)]
    for i, token in enumerate(tokens):
        after = next((one for one in tokens[i + 1 :] if not one.isspace()), "")
        folded = token.casefold()
        foreign = token.isidentifier() and folded not in _WORDS and folded not in own
        parts.append(f"TARGET.{token}" if foreign and before != "." and after not in ("(", ".") else token)
        before = before if token.isspace() else token
    return ExprTree("".join(parts))


def _names(text: str) -> set[str]:
    """The identifiers in an expression, functions among them."""
    return {token[0] for token in _TOKEN.finditer(text) if token[0].isidentifier()}


def _foreign(ad: ClassAd, name: str) -> set[str]:
    """The other ad's attributes to which an attribute refers."""
    expression = ad.get(name)
    if not isinstance(expression, ExprTree):
        return set()
    return {one.rsplit(".", 1)[-1] for one in ad.externalRefs(expression)}


def _number(ad: ClassAd, name: str) -> float | None:
    """The value of an attribute; None if it is no number."""
    value = ad.eval(name) if name in ad else None
    return float(value) if isinstance(value, int | float) and type(value) in (int, float) else None


def _amount(option: str, amount: float) -> str:
    """An amount of a resource as its option takes it, never more than it is."""
    unit = _RESOURCES[option][1]
    if not unit:
        return f"{amount:.0f}"
    spelled = spell_size(amount * unit)
    return spelled if size(spelled) <= amount * unit else f"{amount * unit // 2**20:.0f}MB"


def _spoken(option: str, amount: float) -> str:
    """An amount of a resource in a sentence."""
    unit = {"cpus": " core", "gpus": " GPU"}.get(option, "")
    return _amount(option, amount) + unit + ("s" if unit and amount != 1 else "")


def _quoted(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _QUOTED else f"{line[:_QUOTED]}…"
