"""What tells one state of a module from another: a library's version, or the text of one's own files.

A job imports modules anew. So what counts is what their files hold now, not what the notebook has loaded.
Nothing is imported here.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from typing import Any, Union

from ..payload import packages

_INSTALLED = {"site-packages", "dist-packages"}


#: By the name of a module, a digest of its file, or why it can't be read; None if it isn't the user's own.
_Found = dict[str, Union[str, OSError, None]]
#: Modules that are another one in each process: ours, too.
_NOBODY_S = {"__main__", "__mp_main__", "ganga_kernel", __name__.partition(".")[0]}


def _places() -> Iterator[str]:
    """Folders of the standard library, of what is installed beside it (as ROOT is), and of experiments."""
    yield from (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    yield from (os.path.join(prefix, "lib") for prefix in {sys.prefix, sys.base_prefix, "/usr", "/usr/local"})
    yield from ("/usr/lib64", "/cvmfs")
    if "ROOTSYS" in os.environ:
        yield os.environ["ROOTSYS"]


_LIBRARIES = tuple({os.path.realpath(place) + os.sep for place in _places()})


def version(name: str) -> str:
    """The version of the package that a loaded module belongs to; empty where it doesn't say."""
    return str(getattr(sys.modules.get(name.partition(".")[0]), "__version__", ""))


def installed(names: Iterable[str]) -> dict[str, str]:
    """The versions of the installed packages among these modules; empty where a package doesn't say."""
    of_python = {*sys.builtin_module_names, *getattr(sys, "stdlib_module_names", ())}
    above = {name.partition(".")[0] for name in names} - _NOBODY_S - of_python
    return {name: _version(name) for name in sorted(above) if _spec(name) and _own(name) is None}


@functools.lru_cache(maxsize=1000)
def _version(package: str) -> str:
    return packages.version_of(package)


def content(name: str) -> str:
    """A digest of the file of a module of the user's own, and of all those of their own that it imports.

    A module is one's own if it is neither of the standard library nor installed among the site's packages.

    Returns
    -------
    The digest; empty if the module isn't the user's own, or can't be found.

    Raises
    ------
    OSError: a file can't be read.
    """
    found: _Found = {}
    _gather(name, found)
    for text in found.values():
        if isinstance(text, OSError):
            raise text
    own = sorted((name, text) for name, text in found.items() if text is not None)
    return hashlib.sha256(repr(own).encode()).hexdigest() if own else ""


def own(names: Iterable[str]) -> dict[str, Any]:
    """The modules of the user's own among these, and among all that they import.

    Returns
    -------
    The import system's description of each, by name.
    """
    found: _Found = {}
    todo = [name for name in names if name.partition(".")[0] not in _NOBODY_S]
    while todo:
        for name in todo:
            _gather(name, found)
        above = {name.partition(".")[0] for name, text in found.items() if text is not None}
        todo = [name for name in sys.modules if name.partition(".")[0] in above and name not in found]
    return {name: _own(name) for name, text in found.items() if text is not None}


def imported_by(source: str) -> list[str]:
    """The modules that Python source imports anywhere; of ``from a import b`` also ``a.b``, were it one.

    Raises
    ------
    SyntaxError: it isn't Python.
    """
    return sorted(set(_imports(ast.parse(source), "")))


def _gather(name: str, found: _Found) -> None:
    """Note a module, those above it, and those that it imports."""
    parent = name.rpartition(".")[0]
    if parent:
        _gather(parent, found)
    if name in found:
        return
    spec = None if parent and found[parent] is None else _own(name)
    imported: tuple[str, ...] = ()
    try:
        found[name], imported = (None, ()) if spec is None else _read(name, spec)
    except OSError as error:
        found[name] = error
    for other in imported:
        _gather(other, found)


def _own(name: str) -> Any:
    """The import system's description of a module of the user's own; None for all others."""
    spec = _spec(name)
    if spec is None:
        return None
    places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
    return spec if places and not all(map(is_library, places)) else None


def _spec(name: str) -> Any:
    if name in sys.modules:
        return getattr(sys.modules[name], "__spec__", None)
    parent = name.rpartition(".")[0]
    if not parent:
        try:
            return importlib.util.find_spec(name)  # also by the finder of an editable installation
        except (ImportError, AttributeError, ValueError):  # which whoever imports it gets to see
            return None
    folders = getattr(_spec(parent), "submodule_search_locations", None)
    return folders and _spec_within(name, list(folders))


def _spec_within(name: str, folders: list[str]) -> Any:
    try:
        return importlib.machinery.PathFinder.find_spec(name, folders)
    except KeyError:  # a folder without __init__.py, in a package that isn't loaded
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        here = (os.path.join(folder, name.rpartition(".")[2]) for folder in folders)
        spec.submodule_search_locations = [folder for folder in here if os.path.isdir(folder)]
        return spec


def is_library(path: str) -> bool:
    """Whether a file belongs to what is installed, and not to the user's own code."""
    return os.path.realpath(path).startswith(_LIBRARIES) or not _INSTALLED.isdisjoint(path.split(os.sep))


def _read(name: str, spec: Any) -> tuple[str, tuple[str, ...]]:
    """A digest of a module's file, and the names that it imports."""
    if not spec.has_location:  # a folder
        return "", ()
    state = os.stat(spec.origin)
    package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
    return _parse(spec.origin, package, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=10_000)
def _parse(path: str, package: str, *_: int) -> tuple[str, tuple[str, ...]]:
    with open(path, "rb") as file:
        text = file.read()
    try:
        tree = ast.parse(text if path.endswith(".py") else b"")
    except (SyntaxError, ValueError):  # which whoever imports it gets to see
        tree = ast.Module([], [])
    return hashlib.sha256(text).hexdigest(), tuple(sorted(set(_imports(tree, package))))


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            yield from (f"{base}.{alias.name}" for alias in node.names if base)
