"""tqdm's bars tell a cell's progress, without a change to the cell.

tqdm is imported by nobody but the cell, and changed then. Its text comes as ever. Its bars for
notebooks are widgets, whose other half is a page: in a job they are text. Their classes keep their names,
so that a cell that imports one leaves to the notebook what it would have imported itself.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.abc
import sys
from typing import Any, Callable

Tell = Callable[[Any, Any], None]


def watch(tell: Tell) -> None:
    """Have all of tqdm's bars tell how far they have got.

    Parameters
    ----------
    tell: called with what is done, and the total or None, each time that the outermost bar is drawn. A bar
        may count in anything that adds up; what `tell` refuses by a TypeError or ValueError isn't told.
    """
    patches: dict[str, Callable[[Any], None]] = {
        "tqdm.std": functools.partial(_tell_of_bars, tell),
        "tqdm.notebook": _make_text,
        "tqdm.autonotebook": _choose_as_in_a_notebook,
    }
    sys.meta_path.insert(0, _Finder(patches))


def _tell_of_bars(tell: Tell, std: Any) -> None:
    bar = std.tqdm
    refresh, close = bar.refresh, bar.close

    def tell_of(one: Any) -> None:
        with contextlib.suppress(TypeError, ValueError):
            tell(one.n, one.total)

    @functools.wraps(refresh)
    def refresh_and_tell(self: Any, *args: Any, **kwargs: Any) -> Any:
        drawn = refresh(self, *args, **kwargs)
        if not self.disable and self.pos == 0:
            tell_of(self)
        return drawn

    @functools.wraps(close)
    def close_and_tell(self: Any) -> None:
        outermost = not getattr(self, "disable", True) and self.pos == 0
        close(self)
        if outermost:
            tell_of(self)

    bar.refresh, bar.close = refresh_and_tell, close_and_tell


def _make_text(notebook: Any) -> None:
    """Make the class of bars for notebooks behave as the one that it derives from, but for its arguments."""
    bar = notebook.tqdm_notebook
    for name in ("status_printer", "display", "colour", "__iter__", "update", "close", "clear", "reset"):
        if name in vars(bar):
            delattr(bar, name)

    def begin(self: Any, *args: Any, **kwargs: Any) -> None:
        kwargs.pop("display", None)
        kwargs["disable"] = bool(kwargs.get("disable", False))
        super(bar, self).__init__(*args, **kwargs)

    bar.__init__ = begin


def _choose_as_in_a_notebook(auto: Any) -> None:
    """Choose the class that a notebook's kernel chooses."""
    from tqdm import notebook  # type: ignore[import-untyped,unused-ignore]

    if notebook.IProgress is not None:
        auto.tqdm, auto.trange = notebook.tqdm, notebook.trange


class _Finder(importlib.abc.MetaPathFinder):
    """Finds some modules as the other finders do, and changes them once they are loaded."""

    def __init__(self, patches: dict[str, Callable[[Any], None]]) -> None:
        self._patches = patches

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """See `importlib.abc.MetaPathFinder`."""
        if name not in self._patches:
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next((one for one in found if one is not None), None)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader, self._patches[name])
        return spec


class _Loader(importlib.abc.Loader):
    """Loads a module as its own loader does, leaves no trace of itself, and then changes the module."""

    def __init__(self, loader: Any, patch: Callable[[Any], None]) -> None:
        self._loader, self._patch = loader, patch

    def create_module(self, spec: Any) -> Any:
        """See `importlib.abc.Loader`."""
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """See `importlib.abc.Loader`."""
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        with contextlib.suppress(AttributeError, ImportError):  # a tqdm of another make: as it is
            self._patch(module)
