"""Import of HTCondor's Python bindings, which read their configuration while they are imported."""

from __future__ import annotations

import importlib
import os
import threading
from pathlib import Path
from types import ModuleType

from ganga_kernel.errors import ScheddUnreachable

#: Where HTCondor looks for its configuration if CONDOR_CONFIG isn't set.
DEFAULT_FILES = (
    "/etc/condor/condor_config",
    "/usr/local/etc/condor_config",
    "~condor/condor_config",
)
_NONE = "/dev/null"
_loading = threading.Lock()
_loaded_with: str | None = None


def configuration() -> str | None:
    """The configuration that HTCondor would use here: CONDOR_CONFIG or a default file; else None.

    ``ONLY_ENV`` (HTCondor's word for configuration by ``_CONDOR_`` variables alone) counts as one.
    """
    named = os.environ.get("CONDOR_CONFIG")
    if named is not None:
        usable = named == "ONLY_ENV" or (named != _NONE and Path(named).is_file())
        return named if usable else None
    found = (os.path.expanduser(name) for name in DEFAULT_FILES)
    return next((name for name in found if Path(name).is_file()), None)


def load_bindings() -> ModuleType:
    """The ``htcondor2`` module, with the configuration of this moment; silent if there is none.

    The bindings set CONDOR_CONFIG for good where there is no configuration, and write to the
    process's stderr where it names a missing file; neither happens here. Raises `ScheddUnreachable`
    if they aren't installed.
    """
    global _loaded_with
    config = configuration() or _NONE
    with _loading:
        if config == _loaded_with:
            return _import()
        before = os.environ.get("CONDOR_CONFIG")
        if config == _NONE:
            os.environ["CONDOR_CONFIG"] = _NONE
        try:
            htcondor2 = _import()
            if _loaded_with is not None:
                htcondor2.reload_config()
        finally:
            if before is None:
                os.environ.pop("CONDOR_CONFIG", None)
            else:
                os.environ["CONDOR_CONFIG"] = before
        _loaded_with = config
        return htcondor2


def _import() -> ModuleType:
    try:
        return importlib.import_module("htcondor2")
    except ImportError as error:
        raise ScheddUnreachable(
            f"HTCondor's Python bindings can't be imported: {error}.",
            "Install them, in the version of this machine's HTCondor: pip install htcondor",
        ) from error
