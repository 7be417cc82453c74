"""What Ganga 8.7.12 does amiss, mended in the running process: each with its place in Ganga's sources.

To be looked through at each new release of Ganga.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import SubmitRefused

#: How Ganga's line begins that submits a job to a batch system, and none that kills one.
_SUBMITS = "cd "


def mend() -> None:
    """Mend the Ganga that is loaded. To be called once."""
    _monitor_every_backend()
    _start_local_jobs_without_a_login_shell()
    _share_no_command()
    _write_a_job_when_it_is_submitted()
    _say_why_a_batch_system_refuses()


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


def _share_no_command() -> None:
    """Executable.py:147 makes a shared folder for each job, also for a command, which leaves it empty.

    Counting who uses the folder rewrites and syncs the book of all shared folders, for each job again.
    """
    from GangaCore.Lib.Executable.Executable import Executable

    prepare = Executable.prepare

    def prepare_files(application: Any, force: bool = False) -> Any:
        if not isinstance(application.exe, str):
            return prepare(application, force)
        application.configure(application)
        return 1

    Executable.prepare = prepare_files


def _write_a_job_when_it_is_submitted() -> None:
    """Registry.py:462 writes a job to disk when it is made, Job.py:2110 once more when it is submitted.

    Of ours the first is of no use: after a crash in between Ganga finds an empty folder and removes it.
    """
    from GangaCore.Core.GangaRepository.Registry import synchronised_complete_lock
    from GangaCore.GPIDev.Lib.Registry.JobRegistry import JobRegistry

    add = JobRegistry._add

    @synchronised_complete_lock  # type: ignore[untyped-decorator]
    def add_unwritten(registry: Any, job: Any, force_index: int | None = None) -> int:
        if force_index is not None:
            return int(add(registry, job, force_index))
        [number] = registry.repository.add([job])
        job._setRegistry(registry)
        job._registry_locked = True
        registry.repository._fully_loaded[number] = job  # there is nothing to be read from disk
        job._setFlushed()
        return int(number)

    JobRegistry._add = add_unwritten


def _say_why_a_batch_system_refuses() -> None:
    """Batch.py:207 says of a submission that failed only that it can't read the answer, and not why."""
    from GangaCore.Lib.Batch.Batch import Batch

    command = Batch.command.__func__

    def command_or_reason(kind: Any, line: str, *args: Any, **kwargs: Any) -> Any:
        code, said = command(kind, line, *args, **kwargs)
        if code and line.startswith(_SUBMITS):
            reason = " ".join(Path(said).read_text(errors="replace").split())
            raise SubmitRefused(f"{kind._name} refused the job: {reason}", "Change what it names.")
        return code, said

    Batch.command = classmethod(command_or_reason)
