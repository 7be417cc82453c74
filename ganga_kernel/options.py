"""The options of a batch cell: from texts to checked values. Pure.

Weakest first: site and user configuration, the notebook's defaults (``%batch …``), the cell's metadata,
its tags, its ``%%batch`` line. An unknown option, or a value that doesn't parse, raises `OptionError`,
which names the option and the nearest right one.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NoReturn

from . import inputfiles, maps, submitcommands
from .errors import OptionError
from .maps import Map, Merge
from .submitcommands import Command

_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kmgt]?)(?:i?b)?", re.IGNORECASE)
_SCALE = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_TIME = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>s|min|m|h|d)?", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Options:
    """What a batch cell asks for; None where nothing was said.

    Attributes
    ----------
    backend: name of a Ganga backend
    memory, disk: bytes for each task
    cpus, gpus: how many for each task
    runtime: seconds that each task may run
    requirements, rank, group: passed to the batch system as they are
    set: submit commands of HTCondor, verbatim
    python: interpreter that runs the cell, a path on the worker or a name that is looked up there
    setup: shell code that is run before, by bash
    container: image that the cell runs in
    schedd, pool: name of an HTCondor schedd, and address of the collector that knows it
    spool: the job's files are sent to that schedd, and fetched from it
    pack: the notebook's environment is sent along
    retries: how often a task runs again that ended without a word from the cell
    retry_memory: by how much a task's memory grows when it runs again since it needed more
    input: files that the cell is to have
    output: files that it brings back
    wait: the cell ends only with its job
    map: the cell runs once for each item
    merge: names of a map whose values become one, by a function of two of them
    chunk: items that a task runs, one after the other; `maps.AUTO`: as many as suit
    rehearse: the first task of a map runs alone, and what it used says what the others are asked for with
    allow_failures: a failed item's exception stands in the place of its values
    seed: what random numbers begin with
    cache: results of a job that this cell started before are taken, also if they were delivered already
    fresh: the cell starts a new job, whatever there is
    dry_run: nothing is submitted, but told what would be
    """

    backend: str | None = None
    memory: int | None = None
    cpus: int | None = None
    gpus: int | None = None
    disk: int | None = None
    runtime: int | None = None
    requirements: str | None = None
    rank: str | None = None
    group: str | None = None
    set: tuple[Command, ...] | None = None
    python: str | None = None
    setup: str | None = None
    container: str | None = None
    schedd: str | None = None
    pool: str | None = None
    spool: bool | None = None
    pack: bool | None = None
    retries: int | None = None
    retry_memory: float | None = None
    input: tuple[str, ...] | None = None
    output: tuple[str, ...] | None = None
    wait: bool | None = None
    map: tuple[Map, ...] | None = None
    merge: tuple[Merge, ...] | None = None
    chunk: int | None = None
    rehearse: bool | None = None
    allow_failures: bool | None = None
    seed: int | None = None
    cache: bool | None = None
    fresh: bool | None = None
    dry_run: bool | None = None

    def over(self, weaker: Options) -> Options:
        """These options, with those of `weaker` where these say nothing; each submit command by itself."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        if self.set and weaker.set:
            said["set"] = submitcommands.over(self.set, weaker.set)
        return replace(weaker, **said)

    def resources(self) -> dict[str, Any]:
        """What the backend is asked for, as plain data; only what was said."""
        return {k: v for k, v in asdict(self).items() if _option(k) in RESOURCES and v is not None}

    def describe(self) -> str:
        """The options as one would type them."""
        said = ((name, value) for name, value in asdict(self).items() if value is not None)
        return " ".join(_spell(name, value) for name, value in said)


def size(text: str) -> int:
    """Bytes from ``2GB``, ``500 MB``, ``1.5GiB``; a bare number is megabytes, as in HTCondor.

    Units are powers of 1024, as HTCondor counts.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError("a size is a number with a unit, for example 2GB or 500MB")
    return _positive(float(found["number"]) * _SCALE[(found["unit"] or "m").lower()])


def duration(text: str) -> int:
    """Seconds from ``90``, ``20min``, ``1.5h``, ``2d``."""
    found = _TIME.fullmatch(text.strip())
    if not found:
        raise ValueError("a time is a number with a unit, for example 20min, 1.5h or 2d")
    return _positive(float(found["number"]) * _SECONDS[(found["unit"] or "s").lower()])


def _positive(value: float) -> int:
    if not 1 <= value < 2**60:
        raise ValueError("it is out of all range")
    return int(value)


def count(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.strip().isdigit() or int(text) < 1:
        raise ValueError("it must be a whole number, 1 or more")
    return int(text)


def job_and_task(text: str) -> tuple[int, int | None]:
    """A job's number, or that of one of its tasks: ``3``, ``3.0``. The task is None if none is named."""
    job, dot, task = text.strip().partition(".")
    if dot and not task.isdigit():
        raise ValueError("it is written N or N.TASK, for example 3.0")
    return count(job), int(task) if dot else None


def number(text: str) -> int:
    """A whole number of 32 bits."""
    if not text.strip().isdigit() or int(text) >= 2**32:
        raise ValueError("it must be a whole number from 0 to 4294967295")
    return int(text)


def chunk(text: str) -> int:
    """Items a task: a whole number of 1 or more, or ``auto``, which is `maps.AUTO`."""
    return maps.AUTO if text.strip().lower() == "auto" else count(text)


def factor(text: str) -> float:
    """How much more: ``2x``, ``1.5x``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*x?", text.strip(), re.IGNORECASE)
    if not found or not 1 < float(found[1]) <= 100:
        raise ValueError("it is written 2x or 1.5x")
    return float(found[1])


def flag(text: str) -> bool:
    """A switch of a tag or of metadata: ``batch:wait``, ``batch:wait=no``."""
    word = text.strip().lower()
    if word in ("", "yes", "true", "on", "1"):
        return True
    if word in ("no", "false", "off", "0"):
        return False
    raise ValueError("it is yes or no")


def words(text: str) -> str:
    """Any text but none."""
    if not text.strip():
        raise ValueError("it needs a value")
    return text.strip()


def line(text: str) -> str:
    """One line of text."""
    if "\n" in text.strip():
        raise ValueError("it must be one line; commands are separated by ;")
    return words(text)


def schedd_name(text: str) -> str:
    """The name of an HTCondor schedd: ``host``, ``name@host``."""
    if not re.fullmatch(r"[\w.@-]+", text.strip()):
        raise ValueError("a schedd's name is one as condor_status -schedd lists them, e.g. name@host")
    return text.strip()


def collector_address(text: str) -> str:
    """The address of an HTCondor collector: ``HOST``, ``HOST:PORT``."""
    found = re.fullmatch(r"([\w.-]+|\[[0-9a-fA-F:]+\])(?::(\d{1,5}))?", text.strip())
    if not found or int(found[2] or 1) not in range(1, 2**16):
        raise ValueError("a collector's address is written HOST or HOST:PORT")
    return text.strip()


def _attribute(option: str) -> str:
    return option.replace("-", "_")


def _option(attribute: str) -> str:
    return attribute.replace("_", "-")


#: option -> (what turns its text into a value, its help for the user)
PARSERS: dict[str, tuple[Any, str]] = {
    "backend": (words, "Ganga backend that runs the cell: Local, HTCondor, Slurm, …"),
    "memory": (size, "memory for each task, e.g. 2GB"),
    "cpus": (count, "cores for each task"),
    "gpus": (count, "GPUs for each task"),
    "disk": (size, "scratch space for each task, e.g. 10GB"),
    "runtime": (duration, "time that each task may run, e.g. 2h"),
    "requirements": (words, "HTCondor requirements expression"),
    "rank": (words, "HTCondor rank expression"),
    "group": (words, "accounting group"),
    "set": (submitcommands.parse, "HTCondor submit command, e.g. concurrency_limits=db; may be repeated"),
    "python": (line, "Python that runs the cell: a path on the worker, or a name such as python3"),
    "setup": (line, "shell code that is run before, e.g. 'source /cvmfs/.../setup.sh'"),
    "container": (line, "image that the cell runs in: docker://..., or the path of an Apptainer image"),
    "schedd": (schedd_name, "HTCondor schedd that gets the job, as condor_status -schedd names it"),
    "pool": (collector_address, "HOST[:PORT] of the collector that knows that schedd"),
    "spool": (flag, "send the job's files to the schedd, for one that doesn't see them"),
    "pack": (flag, "send the notebook's environment along, for workers that don't see it"),
    "retries": (count, "how often a task runs again that was killed or crashed"),
    "retry-memory": (factor, "memory of a task that runs again since it needed more, e.g. 2x"),
    "input": (inputfiles.pattern, "file, folder, glob or URL that the cell reads; may be repeated"),
    "output": (inputfiles.output_pattern, "file, folder or glob that the cell writes; may be repeated"),
    "wait": (flag, "the cell ends only with its job (--no-wait: it doesn't)"),
    "map": (maps.parse, "run the cell once for each item, e.g. x=range(10); may be repeated"),
    "merge": (maps.parse_merge, "one value in place of a list, e.g. total=max, or total=+ to add up"),
    "chunk": (chunk, "items of a map that one task runs; auto: as many as suit"),
    "rehearse": (flag, "the first task of a map runs alone first, and tells what the others need"),
    "allow-failures": (flag, "a failed item's exception stands in the place of its values"),
    "seed": (number, "what random numbers begin with, in each item of a map"),
    "cache": (flag, "take the results that the same cell with the same inputs had before"),
    "fresh": (flag, "start a new job, even if the cell's last one is unfinished"),
    "dry-run": (flag, "submit nothing, and show what would be"),
}
#: Options that are for the backend.
RESOURCES = (
    "memory", "cpus", "gpus", "disk", "runtime", "requirements", "rank", "group", "set",
    "schedd", "pool", "spool", "python", "setup", "container", "pack", "retries", "retry-memory",
)  # fmt: skip
#: Options that may be given several times.
_REPEATED: dict[str, Any] = {
    "map": maps.together, "merge": maps.merged_together, "set": submitcommands.together,
    "input": inputfiles.together, "output": inputfiles.together,
}  # fmt: skip
_FIELDS = {field.name for field in fields(Options)}
assert {_attribute(name) for name in PARSERS} == _FIELDS


def from_line(text: str) -> Options:
    """The options of a ``%%batch`` or ``%batch`` line."""
    text, expressions = maps.taken_from(text)
    try:
        arguments = shlex.split(text, comments=True)
    except ValueError as error:
        raise OptionError(f"The options can't be read: {error}.", "Check the quotes.") from error
    parser = parser_for_line()
    return chosen(parser.parse_args([*expressions, *arguments]))


def chosen(arguments: argparse.Namespace) -> Options:
    """The options among a magic's parsed arguments.

    Raises
    ------
    OptionError: what was given several times doesn't go together.
    """
    found = {name: value for name, value in vars(arguments).items() if name in _FIELDS and value is not None}
    for name, join in _REPEATED.items():
        if name in found:
            try:
                found[name] = join(found[name])
            except ValueError as error:
                raise OptionError(f"--{name} can't be used so: {error}.") from error
    return Options(**found)


def from_mapping(given: Mapping[str, Any], where: str) -> Options:
    """The options of tags, metadata or configuration.

    Parameters
    ----------
    given: option -> value, a text or what JSON makes of it; where it may be given several times, also a list,
        or a mapping in the place of ``NAME=VALUE`` texts
    where: what to call the source in an error, e.g. "the cell's metadata"
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in PARSERS:
            raise _unknown(name, where)
        try:
            values[_attribute(name)] = _parsed(name, _listed(name, value))
        except ValueError as error:
            raise OptionError(f"{name}={value} in {where} can't be used: {error}.") from error
    return Options(**values)


def for_many(given: Options, where: str) -> Options:
    """Options that many cells share, so they can't hold what belongs to one.

    Raises
    ------
    OptionError: they do.
    """
    if given.map is not None or given.merge is not None:
        raise OptionError(
            f"A map belongs to one cell, and {where} is for many.", "Write %%batch --map … in that cell."
        )
    return given


def _listed(name: str, value: Any) -> list[Any]:
    """What was given for an option, one by one."""
    if isinstance(value, Mapping) and name in _REPEATED:
        return [f"{key}={one}" for key, one in value.items()]
    return value if isinstance(value, list) else [value]


def _parsed(name: str, given: list[Any]) -> Any:
    """The value of an option that was given one or more times."""
    parse = PARSERS[name][0]
    parsed = [parse(str(one).lower() if isinstance(one, bool) else str(one)) for one in given]
    if name in _REPEATED:
        return _REPEATED[name](parsed)
    if len(parsed) != 1:
        raise ValueError("it is given once")
    return parsed[0]


@functools.cache
def parser_for_line() -> argparse.ArgumentParser:
    """The parser of the ``%%batch`` line, whose errors are `OptionError`. It is the same at each call."""
    parser = Parser(prog="%%batch", add_help=False, allow_abbrev=False)
    add_options(parser, PARSERS)
    return parser


def add_options(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Have a magic's parser know options of batch cells."""
    for name in names:
        parse, text = PARSERS[name]
        if parse is flag:
            parser.add_argument(f"--{name}", help=text, action=argparse.BooleanOptionalAction, default=None)
        else:
            action = "append" if name in _REPEATED else "store"
            parser.add_argument(
                f"--{name}", type=_typed(parse), help=text, metavar=name.upper(), action=action
            )


class Parser(argparse.ArgumentParser):
    """An argparse parser for a magic's line: it raises `OptionError` in place of leaving."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; unknown options are an error that proposes the nearest right one."""
        found, extra = self.parse_known_args(args, namespace)
        if extra:
            name = extra[0]
            if name.startswith("-"):
                raise _unknown(name.lstrip("-").partition("=")[0], f"{self.prog}", self.names())
            raise OptionError(
                f"{self.prog} doesn't take {name!r}.",
                f"Options begin with two dashes: {' '.join('--' + n for n in self.names())}."
                if self.names()
                else f"See {self.prog}?",
            )
        return found

    def names(self) -> list[str]:
        """The options' names, without dashes."""
        strings = (s for action in self._actions for s in action.option_strings)
        return [s[2:] for s in strings if s.startswith("--") and not s.startswith("--no-")]

    def error(self, message: str) -> NoReturn:
        """Called by argparse for a value that doesn't parse."""
        raise OptionError(f"{self.prog}: {message}.")


def _typed(parse: Any) -> Any:
    def convert(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} can't be used: {error}") from error

    return convert


def _unknown(name: str, where: str, known: list[str] | None = None) -> OptionError:
    known = list(PARSERS) if known is None else known
    near = difflib.get_close_matches(name, known, n=1)
    remedy = f"Did you mean {near[0]}?" if near else f"Options are: {', '.join(known)}."
    return OptionError(f"There is no option {name!r} in {where}.", remedy)


def _spell(attribute: str, value: Any) -> str:
    name = _option(attribute)
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    if name in _REPEATED:
        return " ".join(f"--{name} {shlex.quote(str(one))}" for one in value)
    if name in ("memory", "disk"):
        return f"--{name} {spell_size(value)}"
    if name == "chunk" and value == maps.AUTO:
        return "--chunk auto"
    if name == "retry-memory":
        return f"--{name} {value:g}x"
    return f"--{name} {shlex.quote(str(value))}"


def spell_size(value: float, space: str = "") -> str:
    """Bytes as a person writes them: ``2GB``, ``1.5GB``, ``300MB``; `space` goes before the unit."""
    for unit in "KMGT":
        value /= 1024
        if value < 999.5 or unit == "T":
            break
    number = f"{value:.3g}" if value < 999.5 else f"{value:.0f}"
    return f"{number}{space}{unit}B"
