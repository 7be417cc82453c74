"""What Ganga 8.7.12 does amiss, mended in the running process: each with its place in Ganga's sources.

To be looked through at each new release of Ganga.
"""

from __future__ import annotations

from typing import Any


def mend() -> None:
    """Mend the Ganga that is loaded. To be called once."""
    _monitor_every_backend()
    _start_local_jobs_without_a_login_shell()


def _monitor_every_backend() -> None:
    """MonitoringService.py:85 starts the check of each newly active backend with the object of the last one.

    Of two kinds of backend which become active at once, one would never be asked.
    """
    from GangaCore.Core.MonitoringComponent.MonitoringService import AsyncMonitoringService as Service
    from GangaCore.GPIDev.Lib.Job.Job import lazyLoadJobBackend

    check = Service._check_active_backends

    def check_all(service: Any, *args: Any, **kwargs: Any) -> None:
        check(service, *args, **kwargs)
        for name, jobs in service.active_backends.items():
            if name not in service.scheduled_backend_checks:
                service._check_backend(lazyLoadJobBackend(jobs[0]))

    Service._check_active_backends = check_all


def _start_local_jobs_without_a_login_shell() -> None:
    """LocalHostExec.py.template:73 asks a login shell for the environment of each local job.

    The payload takes the notebook's environment instead. A user's profile takes its time, and one that is
    killed together with its job can leave a lock behind, for which every later shell waits (pyenv's rehash:
    a minute).
    """
    from GangaCore.GPIDev.Lib.File import FileUtils

    load = FileUtils.loadScript

    def load_without(location: str, indent: str) -> str:
        return str(load(location, indent)).replace("bash -lc '(set -o posix; set)'", "")

    FileUtils.loadScript = load_without
