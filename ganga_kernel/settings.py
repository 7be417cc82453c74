"""Site and user settings: traitlets, read from ``ganga_kernel_config.py``.

The file is looked for on Jupyter's configuration path (``jupyter --paths``), site folders first, the
user's last, so that a user's line wins over the site's. It is never read from the working directory: a
notebook that was downloaded must not bring a configuration that runs as the user.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
from jupyter_core.paths import jupyter_config_path
from traitlets import Bool, Dict, Enum, Float, Integer, TraitError, Unicode
from traitlets.config import Config, Configurable
from traitlets.config.loader import ConfigFileNotFound, PyFileConfigLoader

from .errors import SettingsError
from .sites import SITES, Site

#: Base name of the configuration file.
CONFIG_FILE = "ganga_kernel_config.py"


class GangaKernel(Configurable):
    """What a site or a user can set, one line each in ``ganga_kernel_config.py``.

    Example::

        c = get_config()
        c.GangaKernel.backend = "HTCondor"
        c.GangaKernel.options = {"memory": "2GB"}
        c.GangaKernel.state_dir = "/data/me/ganga-kernel"
    """

    backend = Unicode(help="The backend of a batch cell that names none; by default Local.").tag(config=True)
    options = Dict(
        help="Default options of batch cells, as on the %%batch line: {'memory': '2GB', 'cpus': 2}."
    ).tag(config=True)
    state_dir = Unicode(
        help="Folder of the broker's state (job store, lease, log). It needs file locks: not on AFS or EOS."
    ).tag(config=True)
    spool_dir = Unicode(help="Folder of what travels to and from jobs; by default `spool` in state_dir.").tag(
        config=True
    )
    gangadir = Unicode(help="Ganga's own folder; by default `gangadir` in state_dir.").tag(config=True)
    local_slots = Integer(
        0, help="Jobs of the Local backend that run at once; 0 means as many as there are cores."
    ).tag(config=True)
    wait = Bool(
        None,
        allow_none=True,
        help="Whether a batch cell ends only with its job. By default it does where late output "
        "would be lost (nbclient, papermill, jupyter-console).",
    ).tag(config=True)
    start_broker = Bool(
        True, help="Whether a kernel starts the broker with itself, rather than at its first use."
    ).tag(config=True)
    broker_idle = Float(
        60.0, help="Seconds after which a broker with no client and no job in flight ends."
    ).tag(config=True)

    idle_pause = Float(
        60.0,
        min=0.0,
        help="Seconds between two questions to HTCondor on why jobs of this user wait, at least; 0 means "
        "that it is never asked.",
    ).tag(config=True)

    site = Enum(
        list(SITES),
        "generic",
        help="Whose HTCondor pool it is, for what that allows jobs and asks for: 'cern', or 'generic', of "
        "which nothing is known.",
    ).tag(config=True)
    max_idle = Integer(
        1000,
        min=0,
        help="Of a map with more tasks than this, so many wait in HTCondor's queue at a time, and others "
        "come into it as these start (late materialization); 0 means that all do at once.",
    ).tag(config=True)

    chunk_seconds = Float(
        30.0,
        min=0.1,
        help="Seconds after which a task of a map on HTCondor hands on the items that it has not begun, so "
        "that they become tasks of their own; not where --chunk says how many items a task runs.",
    ).tag(config=True)

    @property
    def state(self) -> Path:
        """The folder of the broker's state."""
        return Path(self.state_dir)

    @property
    def spool(self) -> Path:
        """The folder of what travels to and from jobs."""
        return Path(self.spool_dir)

    @property
    def ganga(self) -> Path:
        """The folder of Ganga's repository."""
        return Path(self.gangadir)

    @property
    def pool(self) -> Site:
        """What is known of the site's HTCondor pool."""
        return SITES[self.site](config=self.config)

    @property
    def slots(self) -> int:
        """How many jobs of the Local backend run at once."""
        return self.local_slots or len(os.sched_getaffinity(0))


def load() -> GangaKernel:
    """The settings of this user on this host.

    Raises
    ------
    SettingsError: a configuration file can't be read or run, or a value is of the wrong type.
    """
    config = Config()
    for folder in reversed(jupyter_config_path()):
        loader = PyFileConfigLoader(CONFIG_FILE, path=folder)
        try:
            config.merge(loader.load_config())
        except ConfigFileNotFound:
            continue
        except Exception as error:
            raise SettingsError(
                f"{Path(folder) / CONFIG_FILE} can't be used: {type(error).__name__}: {error}",
                "Correct the file, or move it away.",
            ) from error
    classes: list[type[Configurable]] = [GangaKernel, *SITES.values()]
    for known in classes:
        _check_names(known, config)
    try:
        settings = GangaKernel(config=config)
        settings.pool.known()
    except TraitError as error:
        raise SettingsError(f"{CONFIG_FILE}: {error}", "Correct the value.") from error
    state = _absolute(settings.state_dir or platformdirs.user_state_dir("ganga-kernel", False))
    settings.state_dir = str(state)
    settings.spool_dir = str(_absolute(settings.spool_dir or state / "spool"))
    settings.gangadir = str(_absolute(settings.gangadir or state / "gangadir"))
    return settings


def _check_names(known: type[Configurable], config: Config) -> None:
    """See that nothing is set of a class that it doesn't have."""
    names = sorted(known.class_trait_names(config=True))
    unknown = sorted(set(config.get(known.__name__, {})).difference(names))
    if unknown:
        raise SettingsError(
            f"{CONFIG_FILE} sets {known.__name__}.{unknown[0]}, which doesn't exist.",
            f"Settings are: {', '.join(names)}.",
        )


def _absolute(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()
