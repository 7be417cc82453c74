"""What a cell wrote, of the files that it is to bring back (``--output``)."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

from . import result, sealed, tarred

#: Of each file what tells that it was written since: size, time of the last change, and number.
_State = Dict[str, Tuple[int, int, int]]


class Collector:
    """Finds the files that each item of a task wrote, and archives them where they must travel.

    In the archive each item that ran has a folder, in their order: ``ITEM/path`` for each file. A cell that
    runs once is item 0.

    Parameters
    ----------
    folder: what the patterns are relative to
    patterns: paths of files and folders, or globs
    archive: where the archive goes; None where nothing travels
    in_place: whether the files are in their places already: the archive has only the items then

    Raises
    ------
    OSError: the archive can't be written.
    """

    def __init__(self, folder: Path, patterns: list[str], archive: Path | None, in_place: bool) -> None:
        self._folder, self._patterns, self._path, self._in_place = folder, patterns, archive, in_place
        self._unmatched = set(patterns)
        self._before: _State = {}
        if archive is not None:
            self._file = archive.open("wb", buffering=0)
            self._sealed = sealed.Writer(self._file)
            self._tar = tarred.Writer(self._sealed)

    def begin(self) -> None:
        """What is written from now on counts."""
        self._before = {place: state for _, place, state in self._matching()}

    def take(self, item: int) -> None:
        """Take in what an item has written, as it is now; what is written from now on is the next one's.

        Raises
        ------
        OSError: a file can't be read, or the archive not be written.
        """
        now: _State = {}
        for pattern, place, state in self._matching():
            now[place] = state
            if self._before.get(place) != state:
                self._unmatched.discard(pattern)
        written = sorted(place for place in now if self._before.get(place) != now[place])
        self._before = now
        if self._path is not None:
            self._tar.add_folder(str(item))
            for place in () if self._in_place else written:
                self._tar.add_file(f"{item}/{place}", str(self._folder / place))

    def close(self, key: str) -> dict[str, Any]:
        """End, and say what came of it.

        Returns
        -------
        ``files``: the archive, described as a result is, see `result.describe`; None if there is none.
        ``unmatched``: patterns that name nothing that was written.

        Raises
        ------
        OSError: the archive can't be written.
        """
        unmatched = [pattern for pattern in self._patterns if pattern in self._unmatched]
        if self._path is None:
            return {"files": None, "unmatched": unmatched}
        self._tar.close()
        signature = self._sealed.seal(sealed.key_of_files(key))
        self._file.close()
        return {"files": result.describe(self._path, signature), "unmatched": unmatched}

    def _matching(self) -> Iterator[tuple[str, str, tuple[int, int, int]]]:
        for pattern in self._patterns:
            for path in glob.iglob(os.path.join(glob.escape(str(self._folder)), pattern), recursive=True):
                for file in _files(path):
                    try:
                        state = os.stat(file)
                    except FileNotFoundError:  # another task has the same folder
                        continue
                    place = os.path.relpath(file, str(self._folder))
                    yield pattern, place, (state.st_size, state.st_mtime_ns, state.st_ino)


def _files(path: str) -> Iterator[str]:
    """A file; or all files below a folder."""
    if os.path.isfile(path):
        yield path
    for folder, _, names in os.walk(path):
        files = (os.path.join(folder, name) for name in names)
        yield from (file for file in files if os.path.isfile(file))
