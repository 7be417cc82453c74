"""The one Ganga session on its gangadir. All calls come from one thread: Ganga is slow and holds the GIL.

Ganga is imported by `GangaSession.boot`, not before: it takes a second, starts threads, and writes to the
folders that its configuration names.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import psutil

from .. import condor
from ..errors import BrokerError, GangaKernelError, SubmitRefused
from ..folders import private_folder
from .mending import mend

log = logging.getLogger(__name__)

_T = TypeVar("_T")

#: Called with Ganga's number of a job, the number of a subjob (0 of an unsplit job) and its new status, from
#: the thread that changed it.
Listener = Callable[[int, int, str], None]

_GANGARC = """\
# Ganga configuration file ($Name: Ganga-8-7-12 $)
# Written by ganga-kernel at each start of its broker.
[Configuration]
gangadir = {gangadir}
ReleaseNotes = False
RUNTIME_PATH = {plugins}
[PollThread]
autostart = True
base_poll_rate = 1
Local = 1
[Logging]
_logfile = {log}
"""


class GangaSession:
    """Ganga, loaded.

    Parameters
    ----------
    gangadir: Ganga's own folder
    listener: told of every change of status of a job or subjob
    """

    def __init__(self, gangadir: Path, listener: Listener) -> None:
        self._gangadir = gangadir
        self._listener = listener
        self._ganga: Any = None

    def boot(self) -> None:
        """Load Ganga and have it monitor the jobs that it knows.

        Raises
        ------
        BrokerError: Ganga isn't installed, or doesn't start.
        """
        private_folder(self._gangadir)
        _free_dead_sessions(self._gangadir)
        rc = self._gangadir / "gangarc"
        rc.write_text(
            _GANGARC.format(
                gangadir=self._gangadir, plugins=condor.runtime_path(), log=self._gangadir / "ganga.log"
            )
        )
        os.environ["GANGA_CONFIG_FILE"] = str(rc)
        try:
            with _home(self._gangadir):
                import ganga
                import ganga.ganga
        except Exception as error:
            raise BrokerError(
                f"Ganga can't be loaded: {type(error).__name__}: {error}.",
                "Install it into the kernel's environment (pip install ganga); the broker's log is "
                f"{self._gangadir.parent / 'broker.log'}.",
            ) from error
        self._ganga = ganga
        self._listen()
        mend()
        for job in ganga.jobs:
            job.backend  # noqa: B018 (Ganga monitors a job of an earlier session only once it is touched)

    def backends(self) -> list[str]:
        """The names of Ganga's backends."""
        return sorted(self._ganga.plugins("backends"))

    def submit(self, token: str, backend: str, fields: dict[str, Any], commands: list[list[str]]) -> int:
        """Submit one Ganga job and return Ganga's number of it.

        Parameters
        ----------
        token: becomes the Ganga job's name, by which `find` finds it
        backend: name of a Ganga backend
        fields: attributes of the backend object
        commands: program and arguments; for several, which are of one program, the job is split

        Raises
        ------
        SubmitRefused: Ganga or its backend refused.
        """
        job = None
        try:
            job = self._new_job(token, backend, fields, commands)
            job.submit()
        except Exception as error:
            _withdraw(job)
            raise SubmitRefused(_reason(error)) from error
        return int(job.id)

    def _new_job(self, token: str, backend: str, fields: dict[str, Any], commands: list[list[str]]) -> Any:
        """A Ganga job that is in the registry, and not submitted yet.

        It is made of Ganga's own objects, without the proxies in which users see them: these copy each part
        twice, and write the job to disk before it has any.
        """
        from GangaCore.GPIDev.Lib.Job.Job import Job
        from GangaCore.Utility.Plugin import allPlugins

        def part(category: str, name: str, attributes: dict[str, Any]) -> None:
            made = allPlugins.find(category, name)()
            for attribute, value in attributes.items():
                setattr(made, attribute, value)
            job.setSchemaAttribute(category.removesuffix("s"), made)

        job = Job()
        job.name = token
        job.parallel_submit = False  # or submit() sleeps for a quarter of a second
        part("applications", "Executable", {"exe": commands[0][0], "args": commands[0][1:]})
        part("backends", backend, fields)
        if len(commands) > 1:
            part("splitters", "ArgSplitter", {"args": [each[1:] for each in commands]})
        job._auto__init__()
        return job

    def add_cluster(
        self, number: int, description: dict[str, str], items: list[dict[str, str]], max_idle: int
    ) -> int:
        """Submit a further HTCondor cluster of a Ganga job, and return its number; see `condor.backend`.

        Raises
        ------
        SubmitRefused, ScheddUnreachable: HTCondor doesn't take it.
        """
        return int(self.backend_of(number).add_cluster(description, items, max_idle))

    def find(self, token: str) -> int | None:
        """Ganga's number of the job of that token if it was submitted, of several the latest; else None."""
        found = (job for job in self._ganga.jobs if job.name == token)
        return max((int(job.id) for job in found if job.status not in ("new", "submitting")), default=None)

    def backend_of(self, number: int) -> Any:
        """The backend object of a Ganga job, without Ganga's proxy."""
        from GangaCore.GPIDev.Base.Proxy import stripProxy

        return stripProxy(self._ganga.jobs(number)).backend

    def backends_of(self, number: int) -> list[Any]:
        """The backend objects of each subjob, or else of the job."""
        from GangaCore.GPIDev.Base.Proxy import stripProxy

        return [stripProxy(job).backend for job in self._parts(number)]

    def output_folders(self, number: int) -> list[Path]:
        """Where Ganga keeps the output of each subjob, or else of the job."""
        return [Path(job.outputdir) for job in self._parts(number)]

    def _parts(self, number: int) -> list[Any]:
        job = self._ganga.jobs(number)
        return list(job.subjobs) or [job]

    def kill(self, number: int, subjob: int | None = None) -> None:
        """Kill a Ganga job, or one of its subjobs."""
        job = self._ganga.jobs(number) if subjob is None else self._parts(number)[subjob]
        if job.status not in ("completed", "failed", "killed"):
            job.kill()

    def statuses(self, number: int) -> list[str]:
        """Ganga's status of each subjob, or else of the job."""
        return [str(job.status) for job in self._parts(number)]

    def give_up(self, number: int, tasks: list[int]) -> None:
        """Tell Ganga that tasks have failed, where it can't notice: the wrapper of a local job was killed."""
        parts = self._parts(number)
        for job in (parts[task] for task in tasks):
            if job.status not in ("completed", "failed", "killed"):
                job.force_status("failed", force=True)

    def close(self) -> None:
        """Shut Ganga down in order."""
        if self._ganga is None:
            return
        from GangaCore.Core.InternalServices.ShutdownManager import _protected_ganga_exitfuncs

        atexit.unregister(_protected_ganga_exitfuncs)
        _protected_ganga_exitfuncs()

    def _listen(self) -> None:
        """Have every change of a job's status told to the listener: Ganga pushes, nobody polls."""
        from GangaCore.GPIDev.Lib.Job.Job import Job

        update, listener = Job.updateStatus, self._listener

        def told(job: Any, status: str, *args: Any, **kwargs: Any) -> Any:
            answer = update(job, status, *args, **kwargs)
            if job.master is not None:
                listener(int(job.master.id), int(job.id), str(job.status))
            elif not job.subjobs:
                listener(int(job.id), 0, str(job.status))
            return answer

        Job.updateStatus = told


class GangaThread:
    """A session, and the one thread from which it is called.

    Attributes
    ----------
    session: for calls within `call`
    """

    def __init__(self, session: GangaSession) -> None:
        self.session = session
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ganga")

    async def call(self, call: Callable[[], _T]) -> _T:
        """What a call in that thread returns; those that were made before come first."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _withdraw(job: Any) -> None:
    """End those subjobs that a batch system took before it refused another: the job is refused as a whole."""
    for subjob in job.subjobs if job is not None else ():
        if getattr(subjob.backend, "id", ""):
            subjob.backend.kill()


def _reason(error: BaseException) -> str:
    """What went wrong first; Ganga's own error only wraps it. An error of ours says it best."""
    while not isinstance(error, GangaKernelError) and (cause := error.__cause__ or error.__context__):
        error = cause
    return str(error).strip() or type(error).__name__


@contextlib.contextmanager
def _home(folder: Path) -> Iterator[None]:
    """HOME while Ganga is imported: it makes folders there whatever its configuration says."""
    before = os.environ.get("HOME")
    os.environ["HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["HOME"]
        else:
            os.environ["HOME"] = before


def _free_dead_sessions(gangadir: Path) -> None:
    """Remove the session locks of processes that are gone, which would hold jobs for 45 s."""
    here = f"{os.uname().nodename}."
    for path in gangadir.glob("repository/*/LocalXML/*/sessions/*.session*"):
        found = re.search(r"\.PID\.(\d+)\.session", path.name)
        if found and path.name.startswith(here) and not psutil.pid_exists(int(found[1])):
            path.unlink(missing_ok=True)
