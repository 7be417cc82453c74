"""Names that share objects: if a job changes one of them, the others have changed as well."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..payload import parts, result
from . import placeholders


def related(names: Iterable[str], namespace: dict[str, Any]) -> set[str]:
    """The other names of the namespace that share a mutable object with one of `names`, or may do.

    Of values that are here it is seen; of pending ones the cells that bring them have told what they may
    share (`flow`). Who shares with one that is found counts as well, since a pending object is only known by
    the names that lead to it.
    """
    names = set(names)
    found = set(names)
    links = _links(namespace)
    objects = _Objects(namespace)
    todo = list(names)
    while todo:
        name = todo.pop()
        new = (links.get(name, set()) | objects.sharing(name)) - found
        found |= new
        todo += new
    return {name for name in found - names if name in namespace}


def between(names: Iterable[str], namespace: dict[str, Any]) -> set[str]:
    """The names by which two of `names` may share an object, and which a job with these has to get as well.

    What a job brings may refer to what it was sent. So two values share an object only where the names that
    they refer to are there, too.
    """
    names = set(names)
    pending = {name for name in names if type(namespace[name]) is placeholders.Pending}
    if not pending:
        return set()
    objects = _Objects(namespace)
    leads = {name: _refers(name, names, namespace, objects) for name in pending}
    found: set[str] = set()
    for name, mine in leads.items():
        others = names - {name}
        for one in mine - names:
            shared = any(one in theirs for other, theirs in leads.items() if other != name)
            if shared or not others.isdisjoint(_refers(one, names, namespace, objects)):
                found.add(one)
    return found


def _refers(name: str, names: set[str], namespace: dict[str, Any], objects: _Objects) -> set[str]:
    """The names that a value may refer to, and they may in turn, up to those in `names`."""
    found: set[str] = set()
    todo = [name]
    while todo:
        at = todo.pop()
        value = namespace.get(at)
        if type(value) is placeholders.Pending:
            new = {other for one in placeholders.sources(value) for other in one._ganga_links}
        else:
            new = objects.sharing(at)
        new -= found | {name}
        found |= new
        todo += new - names
    return found


def _links(namespace: dict[str, Any]) -> dict[str, set[str]]:
    """Which names may share objects because of what is pending, in both directions."""
    found: dict[str, set[str]] = {}
    for name, pending in placeholders.pending_of(namespace).items():
        for one in placeholders.sources(pending):
            for other in one._ganga_links:
                found.setdefault(name, set()).add(other)
                found.setdefault(other, set()).add(name)
    return found


class _Objects:
    """The mutable objects behind names: looked at once, and only if they are asked for."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._behind: dict[str, set[int]] | None = None

    def sharing(self, name: str) -> set[str]:
        """The names whose values share a mutable object with that of `name`."""
        if self._behind is None:
            self._behind = {
                name: {id(one) for one in parts.behind(here)}
                for name, value in list(self._namespace.items())
                if result.is_own(name) and (here := placeholders.present(value)) is not placeholders.UNBOUND
            }
        mine = self._behind.get(name)
        return (
            {other for other, theirs in self._behind.items() if not mine.isdisjoint(theirs)}
            if mine
            else set()
        )
