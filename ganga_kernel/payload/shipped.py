"""Modules of the user's own that travelled with the job are imported from what travelled.

They have the names that they have in the notebook, so classes, relative imports and pickles mean the same
there. Where the worker sees a module's own file, that stays its ``__file__``, whatever became of the file
since the job was submitted: what lies beside it is found. Else it is the unpacked copy. Tracebacks name the
user's file in any case, with the lines that travelled.
"""

from __future__ import annotations

import atexit
import importlib.machinery
import importlib.util
import json
import os
import pickle
import shutil
import sys
import tempfile
import types
import zipfile
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Sequence

from . import sources

_SOURCE = tuple(importlib.machinery.SOURCE_SUFFIXES)


def install(archive: Path) -> Path:
    """Have modules imported from an archive that `ganga_kernel.bridge.usermodules` wrote.

    Returns
    -------
    The folder that it is unpacked into. It is removed when the process exits.

    Raises
    ------
    OSError: the archive can't be read, or the folder not be written.
    """
    folder = Path(tempfile.mkdtemp(prefix="modules-"))
    atexit.register(partial(_remove, folder, os.getpid()))
    with zipfile.ZipFile(str(archive)) as opened:
        opened.extractall(str(folder))
    index = json.loads((folder / "index.json").read_text("utf-8"))
    state = pickle.loads((folder / "state.pkl").read_bytes())
    tree = str(folder / "tree")
    sys.meta_path.insert(0, _Finder(tree, index["origins"], state))
    sys.meta_path.append(_Refusal(tree, index["refused"]))
    sys.path.append(tree)  # for processes that the cell starts by multiprocessing
    return folder


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # not a child that the cell forked
        shutil.rmtree(str(folder), ignore_errors=True)


class _Finder:
    """Finds the modules that travelled; to be asked before any other.

    Parameters
    ----------
    tree: the folder that they are in
    origins: by their place in it, the files that they were in the notebook
    state: by module, what the notebook has set in it
    """

    def __init__(self, tree: str, origins: dict[str, str], state: dict[str, dict[str, Any]]) -> None:
        self._tree = tree
        self._origins, self._state = origins, state

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        """See `importlib.abc.MetaPathFinder`."""
        found: Any = PathFinder.find_spec(name, [os.path.join(self._tree, *name.split(".")[:-1])])
        if found is None:
            return None
        if not found.has_location:
            return _folders(found, PathFinder.find_spec(name, path))
        origin = self._origins[os.path.relpath(found.origin, self._tree).replace(os.sep, "/")]
        content = Path(found.origin).read_bytes()
        seen = _content(origin)
        if seen == content and name not in self._state:
            return _spec(found, origin, None)
        if not origin.endswith(_SOURCE):
            return found
        place = found.origin if seen is None else origin
        return _spec(found, place, _Loader(name, place, origin, content, self._state))


class _Refusal:
    """Says why a module that couldn't travel isn't here; to be asked when no other finder has it.

    Parameters
    ----------
    tree: the folder of those that could
    refused: by name, why one couldn't
    """

    def __init__(self, tree: str, refused: dict[str, str]) -> None:
        self._tree = tree
        self._refused = refused

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        """See `importlib.abc.MetaPathFinder`."""
        if name in self._refused:
            raise ModuleNotFoundError(f"{name} did not travel to the job: {self._refused[name]}.", name=name)
        *above, last = name.split(".")
        for file in Path(self._tree, *above).glob(last + ".*"):
            raise ModuleNotFoundError(
                f"{name} can't be imported here: {file.name} was built for another Python or another kind of "
                f"machine than {sys.executable}. Build it for this one, too.", name=name,
            )  # fmt: skip
        return None


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module from the text that travelled.

    Parameters
    ----------
    place: its ``__file__``
    origin: the file that it was in the notebook, which tracebacks name
    content: the text, as bytes
    state: by module, what to set in it the first time; it is taken out then
    """

    def __init__(
        self, name: str, place: str, origin: str, content: bytes, state: dict[str, dict[str, Any]]
    ) -> None:
        super().__init__(name, place)
        self._origin, self._content, self._state = origin, content, state

    def get_data(self, path: str) -> bytes:
        """The text that travelled; other files as they are."""
        return self._content if path == self.path else super().get_data(path)

    def get_code(self, fullname: str) -> types.CodeType:
        """The text, compiled under the name that it has in the notebook. No bytecode is kept of it."""
        sources.register({self._origin: (importlib.util.decode_source(self._content), None)})
        return compile(self._content, self._origin, "exec", dont_inherit=True)

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the text, and set what the notebook has set."""
        super().exec_module(module)
        for name, value in self._state.pop(module.__name__, {}).items():
            _set(vars(module), name, value)


def _set(variables: dict[str, Any], name: str, value: Any) -> None:
    """Set a variable; a container stays the object that it is, since others may hold it."""
    there: Any = variables.get(name)
    if type(there) is not type(value) or not isinstance(value, (list, dict, set)):
        variables[name] = value
        return
    there.clear()
    if isinstance(there, list):
        there.extend(value)
    else:
        there.update(value)


def _content(path: str) -> bytes | None:
    """What a file holds; None if it can't be seen here."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return None


def _spec(found: Any, place: str, loader: Any) -> Any:
    """The description of a module whose file is said to be `place`."""
    folders = None if found.submodule_search_locations is None else [os.path.dirname(place)]
    return importlib.util.spec_from_file_location(
        found.name, place, loader=loader, submodule_search_locations=folders
    )


def _folders(found: Any, other: Any) -> Any:
    """The description of a package without ``__init__.py``, of all folders that it has here."""
    spec = importlib.machinery.ModuleSpec(found.name, None, is_package=True)
    folders = [*found.submodule_search_locations, *(getattr(other, "submodule_search_locations", None) or ())]
    spec.submodule_search_locations = list(dict.fromkeys(folders))
    return spec
