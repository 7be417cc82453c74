"""Pending names: what stands in the namespace until a job delivers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NoReturn


class PendingNameError(NameError):
    """A pending name was touched in a way that no analysis of the cell could see."""


class JobFailedError(Exception):
    """A name was read that a failed job should have bound."""


class Pending:
    """Stands for a name that a job will bind; keeps the old value, the names that the new one may read, and
    those that may share an object with it.

    Any use but `repr` raises an error that says which job it waits for.
    """

    __slots__ = (
        "_ganga_atom",
        "_ganga_behind",
        "_ganga_failure",
        "_ganga_job",
        "_ganga_links",
        "_ganga_name",
        "_ganga_old",
        "_ganga_surely",
        "_ganga_token",
        "_ganga_value",
    )

    def __init__(
        self, name: str, token: str, job: int, old: Any, behind: frozenset[str], surely: bool,
        links: frozenset[str] = frozenset(), atom: bool = False,
    ) -> None:  # fmt: skip
        self._ganga_name = name
        self._ganga_token = token
        self._ganga_job = job
        self._ganga_old = old
        self._ganga_behind = behind
        self._ganga_surely = surely
        self._ganga_links = links
        self._ganga_atom = atom
        self._ganga_value = self
        self._ganga_failure = ""

    def __repr__(self) -> str:
        what = "failed in" if self._ganga_failure else "pending:"
        return f"<{self._ganga_name}, {what} job {self._ganga_job}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # display hooks and inspectors ask for these of any object
            raise AttributeError(name)
        _refuse(self)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        _refuse(self)


#: What stands for "the name was not bound before".
UNBOUND = object()


def _refuse(pending: Pending, *_: Any, **__: Any) -> NoReturn:
    name, job = pending._ganga_name, pending._ganga_job
    if pending._ganga_failure:
        raise JobFailedError(f"{name} was to come from job {job}, which failed: {pending._ganga_failure}")
    raise PendingNameError(
        f"{name} is pending: job {job} has yet to bind it. Name it in the cell, and the cell waits; "
        f"or run %wait {job} first."
    )


_OPERATIONS = (
    "call len iter next contains getitem setitem delitem bool int float complex index str format bytes "
    "add radd iadd sub rsub isub mul rmul imul truediv rtruediv floordiv rfloordiv mod rmod pow rpow "
    "matmul rmatmul and rand or ror xor rxor lshift rlshift rshift rrshift neg pos abs invert round "
    "eq ne lt le gt ge enter exit await aiter anext divmod rdivmod reversed hash array"
).split()
for _operation in _OPERATIONS:
    setattr(Pending, f"__{_operation}__", _refuse)


def pending_of(namespace: dict[str, Any]) -> dict[str, Pending]:
    """The pending names of a namespace."""
    return {name: value for name, value in list(namespace.items()) if type(value) is Pending}


def place(
    namespace: dict[str, Any],
    names: Iterable[str],
    token: str,
    job: int,
    behind: frozenset[str],
    surely: frozenset[str],
    links: Mapping[str, Iterable[str]] = MappingProxyType({}),
    atoms: Iterable[str] = (),
    replaces: str = "",
) -> None:
    """Make `names` pending. A name that waits for another job keeps that placeholder as its old value.

    Parameters
    ----------
    behind: names that the values may read
    surely: those that the job surely binds, if it ends well
    links: for each name those that may share an object with it then, itself if it may with its old value
    atoms: those that get nothing that could be changed
    replaces: token of a job whose placeholders these take the place of; empty if there is none
    """
    for name in names:
        anew = name in surely and name not in links.get(name, ())
        old = _without(_without(namespace.get(name, UNBOUND), token), replaces)
        namespace[name] = Pending(
            name, token, job, old, behind, anew, frozenset(links.get(name, ())), name in atoms
        )


def _without(value: Any, token: str) -> Any:
    """A value, less the placeholders of a job in front of it: the cell is run again."""
    if type(value) is not Pending:
        return value
    value._ganga_old = _without(value._ganga_old, token)
    return value._ganga_old if value._ganga_token == token else value


def chain(pending: Pending) -> Iterator[Pending]:
    """The placeholder, and those that it keeps as old values, the newest first."""
    at: Any = pending
    while type(at) is Pending:
        yield at
        at = at._ganga_old


def sources(pending: Pending) -> Iterator[Pending]:
    """Those of the chain from whose jobs the value may come, the newest first."""
    for at in chain(pending):
        yield at
        if at._ganga_surely:
            return


def replace(old: Mapping[str, Pending], new: Mapping[str, Pending]) -> None:
    """What the new placeholders become, the old ones of the same names become as well."""
    for name, pending in old.items():
        if name in new:
            pending._ganga_value = new[name]


def became(value: Any) -> Any:
    """What was delivered for a placeholder, itself if nothing was yet; any other value is itself."""
    while type(value) is Pending and value._ganga_value is not value:
        value = value._ganga_value
    return value


def became_of(pending: Pending, value: Any) -> None:
    """Note what was delivered for a placeholder that may stand nowhere any more."""
    if pending._ganga_value is pending:
        pending._ganga_value = value


def base(pending: Pending) -> Any:
    """The value that the name has if none of its jobs binds it; `UNBOUND` if there is none, or one must."""
    *_, oldest = sources(pending)
    return UNBOUND if oldest._ganga_surely else oldest._ganga_old


def passes(value: Any, earlier: Any) -> bool:
    """Whether a name that holds a value, or will, has held or will hold an earlier one on the way to it."""
    earlier = became(earlier)
    held = [*sources(value), base(value)] if type(value) is Pending else [value]
    return any(one is earlier or became(one) is earlier for one in held)


def present(value: Any) -> Any:
    """The object that is here, which a job may change: what a pending name may still hold, `UNBOUND` if
    nothing; any other value is itself."""
    return base(value) if type(value) is Pending else value


def owned(namespace: dict[str, Any], token: str) -> dict[str, Pending]:
    """The placeholders of this job that are still in their names' chains, by name."""
    found = {}
    for name, value in pending_of(namespace).items():
        for at in chain(value):
            if at._ganga_token == token:
                found[name] = at
                break
    return found


def failed_since(namespace: dict[str, Any], name: str, token: str) -> list[Pending]:
    """The failed placeholders of a name down to that of a job, the newest first."""
    found = []
    for at in chain(namespace[name]):
        if at._ganga_failure:
            found.append(at)
        if at._ganga_token == token:
            break
    return found


def settle(namespace: dict[str, Any], name: str, pending: Pending, value: Any) -> None:
    """Put a value in the place of a placeholder: in the namespace, or as the old value of a later one."""
    pending._ganga_value = value
    at: Any = namespace.get(name, UNBOUND)
    if at is pending:
        if value is UNBOUND:
            del namespace[name]
        else:
            namespace[name] = value
    while type(at) is Pending:
        if at._ganga_old is pending:
            at._ganga_old = value
        at = at._ganga_old


def restore(namespace: dict[str, Any], name: str, pending: Pending) -> None:
    """Give a name the value back that it had before."""
    settle(namespace, name, pending, pending._ganga_old)
