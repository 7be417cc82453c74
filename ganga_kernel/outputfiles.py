"""The files that a cell wrote (``--output``): from the archives of its tasks to their places.

A file is taken only if its job has signed it and ``--output`` names it. One that is there already with
another content stays, and the job's gets a name of its own; unless that one came from a job, too, or is the
input that the cell was to change, and nobody has touched it since.
"""

from __future__ import annotations

import filecmp
import fnmatch
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from . import spool
from .errors import BadSignature
from .payload import sealed, tarred
from .payload.tarred import Member

#: Files that a sentence names.
_NAMED = 5


def bring(job: Mapping[str, Any], folder: Path, tasks: list[dict[str, Any]] | None) -> list[str]:
    """Bring the files that a job wrote to their places beside the notebook.

    Parameters
    ----------
    job: its summary
    folder: its folder in the spool
    tasks: what each task of a map left, see `broker.summary.results`; None if the cell ran once

    Returns
    -------
    What to say of them, a sentence each.

    Raises
    ------
    BadSignature, OSError: see `Places.take`.
    """
    once = {"folder": job["folder"], "result": job["result"], "last": None}
    left = [task for task in ([once] if tasks is None else tasks) if task["result"]]
    if not any("unmatched" in task["result"] for task in left):
        return []  # without --output
    described = spool.description(folder)
    files = described["files"]
    by_job: dict[str, list[Source]] = {}
    for task in left:
        sources = by_job.setdefault(task["folder"], [])
        if archive := task["result"].get("files"):
            at = Path(task["folder"])
            path = at / archive["file"]
            sources.append(Source(path, spool.secret(at), archive["signature"], task["last"]))
    inputs = {place: (size, changed) for place, size, changed in files["inputs"]}
    known = folder.parent.parent / "placed"
    places = Places(Path(described["directory"]), files["output"], inputs, job["id"], known)
    taken = places.take(by_job.values())
    unmatched = [task["result"].get("unmatched", ()) for task in left]
    return sentences(taken, [one for one in files["output"] if all(one in each for each in unmatched)])


class Source(NamedTuple):
    """The archive of a task.

    Attributes
    ----------
    key: the job's key, in hexadecimal
    signature: what the task said that the archive's signature is
    last: the last of its items that counts; None if all do
    """

    path: Path
    key: str
    signature: str
    last: int | None


class Taken(NamedTuple):
    """What became of the files, by their paths below the notebook's folder.

    Attributes
    ----------
    brought: those that came, or were there with the same content
    replaced: those in whose place was what an older job had brought, with its number
    renamed: those in whose place was another file, with the name that they have
    """

    brought: list[str]
    replaced: list[tuple[str, int]]
    renamed: list[tuple[str, str]]


class Places:
    """The places beside a notebook that the files of a job come to.

    Parameters
    ----------
    folder: the notebook's
    patterns: what ``--output`` names
    inputs: size and time of the last change of each file as it was sent, by its path without the first slash
    number: the job's
    known: folder of what jobs have brought: for each path, how the file was then
    """

    def __init__(
        self,
        folder: Path,
        patterns: list[str],
        inputs: Mapping[str, tuple[int, int]],
        number: int,
        known: Path,
    ) -> None:
        self._folder, self._patterns, self._inputs = folder, patterns, inputs
        self._number, self._known = number, known
        self._taken = Taken([], [], [])
        #: What this job has brought: another item's file is no older one.
        self._mine: set[Path] = set()

    def take(self, jobs: Iterable[list[Source]]) -> Taken:
        """Bring the files of a job.

        Parameters
        ----------
        jobs: the archives of the tasks of this job, and before it of those whose failed items it ran again:
            of an item the newest counts

        Raises
        ------
        BadSignature: an archive isn't what its job wrote, or holds what it must not.
        OSError: an archive can't be read, or a file not be written.
        """
        newer: set[int] = set()
        for sources in reversed(list(jobs)):
            ran: set[int] = set()
            for source in sources:
                with source.path.open("rb") as file:
                    for item, member in _members(file, source):
                        ran.add(item)
                        if member.content is not None and item not in newer:
                            self._bring(member)
            newer |= ran
        return self._taken

    def _bring(self, member: Member) -> None:
        if not any(names(pattern, member.place) for pattern in self._patterns):
            raise BadSignature(f"An archive of the job holds {member.place}, which --output doesn't name.")
        path = self._folder / member.place
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".ganga-kernel-")
        try:
            with os.fdopen(handle, "wb") as file:
                tarred.write_content(member, file)
            self._settle(Path(temporary), path, member.place)
        finally:
            Path(temporary).unlink(missing_ok=True)

    def _settle(self, new: Path, path: Path, place: str) -> None:
        """Give a file its name."""
        older = None if path in self._mine else self._replaceable(path)
        if older is not None and not _same(new, path):
            os.replace(new, path)
            self._taken.replaced.append((place, older))
        else:
            found = next(one for one in _names(path, self._number) if _link(new, one))
            if found == path:
                self._taken.brought.append(place)
            else:
                self._taken.renamed.append((place, os.path.relpath(found, self._folder)))
            path = found
        self._mine.add(path)
        self._note(path)

    def _replaceable(self, path: Path) -> int | None:
        """The number of the job that brought what is there, 0 for an input; None if it is to stay."""
        state = _state(path)
        if state is None:
            return None
        if self._inputs.get(str(path).lstrip("/")) == state:
            return 0
        try:
            size, changed, number = json.loads(self._record(path).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return int(number) if (size, changed) == state else None

    def _note(self, path: Path) -> None:
        state = _state(path)
        if state is not None:
            self._known.mkdir(mode=0o700, exist_ok=True)
            self._record(path).write_text(json.dumps([*state, self._number]))

    def _record(self, path: Path) -> Path:
        return self._known / hashlib.sha256(os.fsencode(path)).hexdigest()


def sentences(taken: Taken, unmatched: Iterable[str]) -> list[str]:
    """What to say of a job's files.

    Parameters
    ----------
    unmatched: patterns that name nothing that was written
    """
    said = []
    if taken.brought:
        said.append(f"Brought {_listed(taken.brought)}.")
    for number in sorted({number for _, number in taken.replaced}):
        of_it = _listed([place for place, one in taken.replaced if one == number])
        said.append(f"Replaced {of_it}, which job {number} had brought." if number else f"Changed {of_it}.")
    if taken.renamed:
        pairs = _listed([f"{name} (there is another {place})" for place, name in taken.renamed])
        said.append(f"Brought under another name: {pairs}.")
    said += [f"Nothing was written that --output {pattern} names." for pattern in unmatched]
    return said


def _listed(places: list[str]) -> str:
    more = len(places) - _NAMED
    return ", ".join(places[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def names(pattern: str, place: str) -> bool:
    """Whether a pattern of ``--output`` names a file, or a folder above it."""
    return _names_parts(pattern.split("/"), place.split("/"))


def meet(outputs: Iterable[str], inputs: Iterable[str]) -> bool:
    """Whether a pattern of ``--input`` may name what one of ``--output`` names."""
    wanted = [os.path.normpath(one) for one in inputs]
    return any(names(output, one) or names(one, output) for output in outputs for one in wanted)


def _names_parts(pattern: list[str], place: list[str]) -> bool:
    if not pattern:
        return True
    if not place:
        return False
    if pattern[0] == "**":
        return _names_parts(pattern[1:], place) or _names_parts(pattern, place[1:])
    return fnmatch.fnmatchcase(place[0], pattern[0]) and _names_parts(pattern[1:], place[1:])


def _members(file: IO[bytes], source: Source) -> Iterator[tuple[int, Member]]:
    """What an archive holds, with the items that wrote it; each byte was signed by the job."""
    try:
        reader = sealed.Reader(file, sealed.key_of_files(source.key), source.signature)
        for member in tarred.members(reader.stream):
            item, _, place = member.place.partition("/")
            if not item.isdigit():
                raise tarred.ArchiveError(f"it holds {member.place!r}, which is of no item")
            if source.last is None or int(item) <= source.last:
                yield int(item), member._replace(place=place)
    except (sealed.NotGenuineError, tarred.ArchiveError) as error:
        raise BadSignature(f"The archive of the job's files isn't what the job wrote: {error}.") from error


def _names(path: Path, number: int) -> Iterator[Path]:
    """The name that a file is to have, and those that it has if there is another one."""
    yield path
    yield path.with_name(f"{path.stem}.job{number}{path.suffix}")
    count = 2
    while True:
        yield path.with_name(f"{path.stem}.job{number}-{count}{path.suffix}")
        count += 1


def _link(new: Path, path: Path) -> bool:
    """Give a file a name, unless another one has it; one of the same content may."""
    if os.path.lexists(path):
        return _same(new, path)
    try:
        os.link(new, path)
    except FileExistsError:  # made meanwhile
        return _same(new, path)
    except OSError:  # no links on this file system
        os.replace(new, path)
    return True


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and filecmp.cmp(one, other, shallow=False)


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change of a file; None if none is there."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_size, state.st_mtime_ns
