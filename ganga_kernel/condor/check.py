"""What a user hands to HTCondor verbatim, read by HTCondor's own parsers before anything is submitted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from ganga_kernel.condor.bindings import load_bindings
from ganga_kernel.condor.description import JobSpec, describe
from ganga_kernel.errors import BackendError

#: Submit commands whose value is a ClassAd expression; so is that of every ``+X`` and ``MY.X``.
_EXPRESSION = re.compile(
    r"\+.*|my\..*|requirements|rank|(periodic|on_exit)_(hold|remove|release|vacate)(_reason|_subcode)?"
    r"|concurrency_limits_expr|start_expr",
    re.IGNORECASE,
)
#: Where images are that workers see, and this machine need not.
_ELSEWHERE = "/cvmfs/"


def check(requirements: str, rank: str, group: str, commands: Mapping[str, str]) -> None:
    """See that HTCondor can read what was given; nothing is submitted, and no daemon asked.

    Parameters
    ----------
    commands: more submit commands, verbatim

    Raises
    ------
    BackendError: it can't; the option is named, and where its expression breaks off.
    SubmitRefused: a command that can't be given, or a text that a submit description can't say.
    """
    asked = {"requirements": requirements, "rank": rank, "accounting_group": group, **commands}
    if not any(asked.values()):
        return
    spec = JobSpec(
        "/bin/sh", "/", requirements=requirements, rank=rank, accounting_group=group, extra=commands
    )
    described, _ = describe(spec)
    options = {"requirements": "--requirements", "rank": "--rank", "accounting_group": "--group"}
    htcondor2 = load_bindings()
    try:
        submit = htcondor2.Submit(described)
    except (ValueError, htcondor2.HTCondorException) as error:
        raise BackendError(f"HTCondor's parser refuses these options: {error}.") from error
    for name, given in asked.items():
        if given:
            _check_one(submit, options.get(name, f"--set {name}"), name, given)


def check_container(image: str) -> None:
    """See that an image can be found, as far as that can be told here.

    Raises
    ------
    BackendError: it is neither a URL nor a path, or isn't there.
    """
    if re.match(r"[a-z][a-z0-9+.-]*://\S+$", image) or image.startswith(_ELSEWHERE):
        return
    if not image.startswith("/"):
        raise BackendError(
            f"--container {image} is neither a URL nor an absolute path.",
            f"An image of a registry is written docker://{image}; one in a file, with its whole path.",
        )
    if not Path(image).exists():
        raise BackendError(
            f"--container: there is no image {image} here, from where HTCondor would send it.",
            "Check the path. Images below /cvmfs are looked for on the worker only.",
        )


def _check_one(submit: object, option: str, name: str, given: str) -> None:
    try:
        value = submit.expand(re.sub(r"^\+", "MY.", name))  # type: ignore[attr-defined]
    except KeyError as error:
        raise BackendError(
            f"{option} comes out empty: {given}", "A $(NAME) that HTCondor doesn't know is nothing."
        ) from error
    if _EXPRESSION.fullmatch(name) and not _parses(value):
        raise BackendError(
            f"{option} is no ClassAd expression: {value}\n{where(value, _parses)}",
            "Mend it and run the cell again.",
        )


def _parses(text: str) -> bool:
    load_bindings()
    import classad2

    try:
        classad2.ExprTree(text)
    except classad2.ClassAdException:
        return False
    return True


def where(text: str, parses: Callable[[str], bool]) -> str:
    """A sentence on where an expression that doesn't parse breaks off.

    Parameters
    ----------
    parses: whether a text is a whole expression; HTCondor's parser says no more
    """
    tokens = list(re.finditer(r'"(?:[^"\\]|\\.)*"|\w+|\S', text))
    words = [token.group() for token in tokens]
    missing = words.count("(") - words.count(")")
    if missing > 0:
        return f"It misses {missing} closing bracket{'s' if missing > 1 else ''}."
    ends = [token.end() for token in tokens]
    good = next((end for end in reversed(ends[:-1]) if parses(text[:end])), 0)
    if good:
        return f"It can be read up to {text[:good]!r}, but not on from {text[good:].strip()!r}."
    return "It can't be read from its very beginning."
