"""The Ganga backend: Ganga jobs as HTCondor clusters.

One Ganga job is one cluster, however many subjobs or tasks it has. The cluster's event log says
what happens to it. Importing this module needs Ganga, as it is one of its plugins.

Ganga has no word for a held job: it stays ``submitted`` or ``running``, and the backend's own
``status``, ``reason`` and ``code`` say that it is held and why.
"""

from __future__ import annotations

import glob
import json
import logging
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from GangaCore.GPIDev.Adapters.ApplicationRuntimeHandlers import allHandlers
from GangaCore.GPIDev.Adapters.IBackend import IBackend
from GangaCore.GPIDev.Base.Proxy import getName, stripProxy
from GangaCore.GPIDev.Lib.File import FileBuffer
from GangaCore.GPIDev.Schema import Schema, SimpleItem, Version
from GangaCore.Lib.Executable.Executable import RTHandler
from GangaCore.Utility.Config import getConfig

from ganga_kernel.condor import spooled
from ganga_kernel.condor.description import LOG, SPOOLED_LOG, JobSpec, Task, describe
from ganga_kernel.condor.eventlog import FINAL, EventLog, Observation, latest_of, reduce
from ganga_kernel.condor.schedd import Schedd
from ganga_kernel.errors import BackendError, SubmitRefused

#: Seconds between two polls of the event logs, unless gangarc says otherwise.
POLL_RATE = 1.0

_logger = logging.getLogger(__name__)
_SAVED = "condor.json"


def register() -> None:
    """Make Ganga know the backend: its application handler and its poll rate."""
    getConfig("PollThread").addOption("HTCondor", POLL_RATE, "seconds between two polls of HTCondor")
    allHandlers.add("Executable", "HTCondor", RTHandler)


def _text(doc: str, default: str = "", **more: Any) -> Any:
    return SimpleItem(defvalue=default, typelist=[str], doc=doc, **more)


def _number(doc: str, **more: Any) -> Any:
    return SimpleItem(defvalue=None, typelist=[int, None], doc=doc, **more)


_OUTCOME: dict[str, Any] = {"protected": 1, "copyable": 0}


class HTCondor(IBackend):  # type: ignore[misc]
    """HTCondor, by its Python bindings.

    Without ``folder``, a job's standard output, error and new files come to its outputdir, under
    Ganga's usual names. With it, task N's output streams to ``N.events`` there, its error goes to
    ``N.stderr``, and only ``output_files`` come back. The event log is ``condor.log``.
    """

    _schema = Schema(
        Version(1, 0),
        {
            "memory": _number("MB of memory; None for the pool's default"),
            "cpus": _number("CPU cores; None for the pool's default"),
            "gpus": _number("GPUs; None for none"),
            "disk": _number("MB of scratch space; None for the pool's default"),
            "max_runtime": _number("seconds that one run may take; past them the job is held"),
            "requirements": _text("ClassAd expression that a machine must fulfil"),
            "rank": _text("ClassAd expression that says which machines are better"),
            "accounting_group": _text("accounting group"),
            "batch_name": _text("name of the job in condor_q"),
            "container": _text("image that it runs in, a URL or an absolute path; empty for none"),
            "attributes": SimpleItem(defvalue={}, typelist=[str], doc="attributes of the job's ad, strings"),
            "extra": SimpleItem(defvalue={}, typelist=[str], doc="more submit commands, verbatim"),
            "retries": _number("how often a task runs again that crashed; None for never"),
            "final_codes": SimpleItem(
                defvalue=[0], typelist=[int], sequence=1, doc="exit codes after which no task runs again"
            ),
            "folder": _text("absolute path: where the job's files go; empty for its outputdir"),
            "input_files": SimpleItem(
                defvalue=[], typelist=[str], sequence=1, doc="absolute paths of files to send along"
            ),
            "output_files": SimpleItem(
                defvalue=[],
                typelist=[str],
                sequence=1,
                doc="names of files that must come back; {task} stands for the task. "
                "Empty: with a folder none, else every new one",
            ),
            "items": SimpleItem(
                defvalue=[],
                typelist=[int],
                sequence=1,
                doc="task numbers, one proc each; in arguments, {task} stands for the number. "
                "Empty: one task, 0",
            ),
            "max_idle": SimpleItem(
                defvalue=0,
                typelist=[int],
                doc="of more tasks than this, so many wait in HTCondor's queue at a time, and others come "
                "into it as these start; 0: all at once",
            ),
            "schedd": _text("name of the schedd; empty for this machine's"),
            "pool": _text("address of the collector; empty for the configured one"),
            "spool": SimpleItem(
                defvalue=False,
                typelist=[bool],
                doc="send the files to the schedd and fetch them from it, as it doesn't see them",
            ),
            "cluster_id": SimpleItem(
                defvalue=-1, typelist=[int], doc="HTCondor's cluster, the latest", **_OUTCOME
            ),
            "proc_id": SimpleItem(
                defvalue=-1, typelist=[int], doc="the subjob's proc in its cluster", **_OUTCOME
            ),
            "status": _text("queued, running, held, … as HTCondor sees it", **_OUTCOME),
            "host": _text("the machine that runs it", **_OUTCOME),
            "exit_code": _number("exit code, of the first task that failed", **_OUTCOME),
            "exit_signal": _number("signal that ended it", **_OUTCOME),
            "reason": _text("why it is held, waiting again or removed", **_OUTCOME),
            "code": _number("HTCondor's number for the reason", **_OUTCOME),
            "memory_used": _number("MB, the most that was seen", **_OUTCOME),
            "log": _text("path of the event log", hidden=1, **_OUTCOME),
            "submissions": _text("JSON: [[cluster, [task, …]], …]", "[]", hidden=1, **_OUTCOME),
            "killing": SimpleItem(
                defvalue=False, typelist=[bool], hidden=1, doc="removed by Ganga", **_OUTCOME
            ),
        },
    )
    _category = "backends"
    _name = "HTCondor"
    _exportmethods = ["hold", "release", "resubmit_items"]

    # ------------------------------------------------------------------ submit

    def master_submit(
        self,
        rjobs: Sequence[Any],
        subjobconfigs: Sequence[Any],
        masterjobconfig: Any,
        keep_going: bool = False,
        parallel_submit: bool = False,
    ) -> int:
        """Submit the job, or all its subjobs, as one cluster.

        Raises `SubmitRefused` or `ScheddUnreachable`; Ganga's ``job.submit`` raises a JobError with
        that as its context, and the job is ``new`` again.
        """
        job = self.getJobObject()
        split = not (len(rjobs) == 1 and stripProxy(rjobs[0]) is stripProxy(job))
        spec = self._spec(job, subjobconfigs, masterjobconfig)
        if split:
            _, prefix, _ = _executable(subjobconfigs)
            tasks = [
                Task(
                    str(subjob.id),
                    arguments=[*prefix, *config.getArgStrings()],
                    environment=dict(config.env or {}),
                    folder=None if self.folder else _folder(subjob),
                )
                for subjob, config in zip(rjobs, subjobconfigs, strict=True)
            ]
        else:
            tasks = [Task(str(item)) for item in self.items or [0]]
        description, items = describe(spec, tasks)
        job.getInputWorkspace().writefile(
            FileBuffer(_SAVED, json.dumps({"description": description, "items": items}))
        )
        for each in rjobs:
            each.updateStatus("submitting")
        self.log = os.path.join(spec.folder, spec.log)
        self._submit(description, items, list(rjobs) if split else [])
        for each in rjobs:
            each.updateStatus("submitted", update_master=False)
            stripProxy(each.info).increment()
        return 1

    def _spec(self, job: Any, configs: Sequence[Any], master: Any) -> JobSpec:
        """The job in plain data; its subjobs share all but their own parts."""
        first = configs[0]
        executable, prefix, transfer = _executable(configs)
        sent = list(self.input_files)
        for config in [*configs, *([master] if master else [])]:
            sent += self._sandbox(job, config)
        sent = list(dict.fromkeys(sent + _local_files(job)))
        names: dict[str, str] = {}
        for name in sent:
            other = names.setdefault(os.path.basename(name), name)
            if other != name:
                raise SubmitRefused(f"Two input files have the same name: {other} and {name}", "Rename one.")
        mine = bool(self.folder)
        outputs: list[str] | None = list(self.output_files)
        return JobSpec(
            executable=executable,
            transfer_executable=transfer,
            arguments=[*prefix, *first.getArgStrings()],
            environment=dict(first.env or {}),
            folder=self.folder or _folder(job),
            input_files=sent,
            output_files=outputs if mine or outputs else None,
            output="{task}.events" if mine else "stdout",
            error="{task}.stderr" if mine else "stderr",
            log=SPOOLED_LOG if self.spool else LOG,
            spool=self.spool,
            memory=self.memory,
            disk=self.disk,
            cpus=self.cpus,
            gpus=self.gpus,
            max_runtime=self.max_runtime,
            requirements=self.requirements,
            rank=self.rank,
            accounting_group=self.accounting_group,
            batch_name=self.batch_name or job.name,
            container=self.container,
            attributes=dict(self.attributes),
            extra=dict(self.extra),
            retries=self.retries,
            final_codes=list(self.final_codes),
        )

    def _sandbox(self, job: Any, config: Any) -> list[str]:
        """Paths of what an application wants sent along; in-memory files are written out first."""
        paths = []
        for each in config.getSandboxFiles():
            if each is config.exe:
                continue
            if hasattr(each, "getContents") and not os.path.isabs(each.name):
                paths.append(job.getInputWorkspace().writefile(each))
            else:
                paths.append(os.path.abspath(os.path.expanduser(each.name)))
        return paths

    def _submit(
        self, description: Mapping[str, str], items: Sequence[Mapping[str, str]], subjobs: list[Any]
    ) -> None:
        """Submit a cluster and note it in the job, and each proc in its subjob."""
        _forget(self.log)
        cluster = self._put(description, items, self.max_idle)
        self.cluster_id = cluster
        self.killing = False
        if not subjobs:
            tasks = [int(item["task"]) for item in items]
            self._add(cluster, tasks)
            self._fresh()
        for proc, subjob in enumerate(subjobs):
            backend = stripProxy(subjob.backend)
            backend.cluster_id, backend.proc_id, backend.log = cluster, proc, self.log
            backend.killing = False
            backend._fresh()

    def _put(self, description: Mapping[str, str], items: Sequence[Mapping[str, str]], max_idle: int) -> int:
        if self.spool:
            return spooled.submit(self._schedd(), self._where(), description, items)
        return self._schedd().submit(description, items, max_idle)

    def _where(self) -> Path:
        """The folder from which the job is submitted."""
        job = self.getJobObject()
        return Path(self.folder or _folder(job.master or job))

    def _add(self, cluster: int, tasks: Sequence[int]) -> None:
        before: list[Any] = json.loads(str(self.submissions))
        self.submissions: str = json.dumps([*before, [cluster, tasks]])

    def _fresh(self) -> None:
        self.status, self.host, self.reason = "queued", "", ""
        self.exit_code = self.exit_signal = self.code = None

    def _schedd(self) -> Schedd:
        return Schedd(self.schedd or None, self.pool or None)

    # ------------------------------------------------------------------ again

    def master_resubmit(self, rjobs: Sequence[Any]) -> int:
        """Submit the given (sub)jobs once more, as one new cluster."""
        job = self.getJobObject()
        top = job.master or job
        master = stripProxy(top.backend)
        saved = master._saved()
        chosen = {str(each.id) for each in rjobs}
        split = bool(top.subjobs)
        items = [item for item in saved["items"] if not split or item["task"] in chosen]
        for each in rjobs:
            each.updateStatus("submitting")
        if not split:
            self.submissions = "[]"
        by_name = {str(each.id): each for each in rjobs}
        subjobs = [by_name[item["task"]] for item in items] if split else []
        master._submit(saved["description"], items, subjobs)
        for each in rjobs:
            each.updateStatus("submitted", update_master=False)
        if split:
            top.updateMasterJobStatus()
        return 1

    def resubmit(self) -> int:
        """Submit this (sub)job once more."""
        return self.master_resubmit([self.getJobObject()])

    def resubmit_items(self, items: Sequence[int]) -> int:
        """Submit tasks of an unsplit job once more, as one new cluster; returns its number.

        What other tasks left in the folder stays. A job that had ended is ``submitted`` again.
        """
        job = self.getJobObject()
        saved = self._saved()
        chosen = {str(item) for item in items}
        again = [item for item in saved["items"] if item["task"] in chosen]
        if job.subjobs or len(again) != len(chosen):
            raise BackendError(f"Job {job.id} has no such tasks: {sorted(items)}")
        self._submit(saved["description"], again, [])
        if job.status not in {"submitted", "running"}:
            job.updateStatus("submitted")
        return int(self.cluster_id)

    def add_cluster(
        self, description: Mapping[str, str], items: Sequence[Mapping[str, str]], max_idle: int
    ) -> int:
        """Submit further tasks of an unsplit job, as a cluster of its own; returns its number.

        What the others do goes on. A job that had ended is ``submitted`` again.
        """
        job = self.getJobObject()
        cluster = self._put(description, items, max_idle)
        self._add(cluster, [int(item["task"]) for item in items])
        if job.status not in {"submitted", "running"}:
            job.updateStatus("submitted")
        return cluster

    def _saved(self) -> dict[str, Any]:
        """Description and items of the job's submission."""
        name = self.getJobObject().getInputWorkspace().getPath(_SAVED)
        try:
            with open(name, encoding="utf-8") as file:
                saved: dict[str, Any] = json.load(file)
        except OSError as error:
            raise BackendError(
                f"The job's submit description is gone: {error}", "Submit a copy of the job."
            ) from error
        return saved

    # ------------------------------------------------------------------ act

    def master_kill(self) -> bool:
        """Remove the whole job, subjobs and all, from the queue."""
        return self._kill([stripProxy(subjob.backend) for subjob in self.getJobObject().subjobs])

    def kill(self) -> bool:
        """Remove the job, or this subjob, from the queue; fine if it isn't there any more."""
        return self._kill([])

    def _kill(self, subjobs: Sequence[Any]) -> bool:
        # Marked first, so that the monitoring doesn't take the removal for a failure of the job.
        backends = [self, *subjobs]
        for backend in backends:
            backend.killing = True
        try:
            schedd = self._schedd()
            end = schedd.kill if self.spool else schedd.remove
            for name in self._ids():
                end(name, "Killed in Ganga")
        except BackendError:
            for backend in backends:
                backend.killing = False
            raise
        return True

    def hold(self, reason: str = "Held in Ganga") -> int:
        """Hold what is in the queue of this job; returns the number of jobs that changed."""
        return sum(self._schedd().hold(name, reason) for name in self._ids())

    def release(self, reason: str = "Released in Ganga") -> int:
        """Release what is held of this job; returns the number of jobs that changed."""
        return sum(self._schedd().release(name, reason) for name in self._ids())

    def _ids(self) -> list[str]:
        """``cluster`` or ``cluster.proc`` of what was submitted for this job or subjob."""
        job = self.getJobObject()
        if job.master is not None:
            return [f"{self.cluster_id}.{self.proc_id}"] if self.cluster_id >= 0 else []
        clusters = {cluster for cluster, _ in json.loads(self.submissions)}
        if job.subjobs:
            clusters |= {stripProxy(each.backend).cluster_id for each in job.subjobs}
        return [str(cluster) for cluster in sorted(clusters) if cluster >= 0]

    # ------------------------------------------------------------------ watch

    @staticmethod
    def updateMonitoringInformation(jobs: Iterable[Any]) -> None:
        """Bring jobs and subjobs up to date with their event logs; Ganga calls it in a thread.

        A job that HTCondor sends back to its queue stays ``running`` for Ganga, since a step back
        would overwrite when it was submitted; ``backend.status`` tells.
        """
        masters: dict[int, Any] = {}
        for job in jobs:
            backend = stripProxy(job.backend)
            try:
                procs = backend._news()
            except BackendError as error:
                # One job whose log and schedd are both out of reach must not stop the others.
                _logger.warning("Job %s can't be watched now: %s", job.getFQID("."), error)
                continue
            if not procs:
                continue
            backend._note(procs)
            status = _ganga_status(procs)
            if job.status not in {"submitted", "running"} or backend.killing:
                continue
            if status != job.status and not (status == "submitted" and job.status == "running"):
                job.updateStatus(status, update_master=False)
                if job.master is not None:
                    masters[id(job.master)] = job.master
        for master in masters.values():
            master.updateMasterJobStatus()

    @staticmethod
    def tear_down_monitoring() -> None:
        """Forget the event logs; Ganga calls it when no job of this backend is active any more."""
        with _reading:
            _followed.clear()

    def _news(self) -> list[Observation]:
        """As `_latest`, but empty if nothing has been logged or submitted since it was asked for here."""
        if os.path.exists(self.log) and not _is_new(
            self.log, self.getJobObject().getFQID("."), self.submissions
        ):
            return []
        return self._latest()

    def _latest(self) -> list[Observation]:
        """The latest of each task, in task order; empty if nothing is known yet."""
        if self.cluster_id < 0 or not self.log:
            return []
        if self.getJobObject().master is not None:
            keys = {0: (self.cluster_id, self.proc_id)}
        else:
            # A task that was submitted again counts by its latest cluster.
            keys = {
                task: (cluster, proc)
                for cluster, tasks in json.loads(self.submissions)
                for proc, task in enumerate(tasks)
            }
        if self.spool:
            seen = self._followed(keys.values())
        elif os.path.exists(self.log):
            seen = _follow(self.log)
        else:
            clusters = {cluster for cluster, _ in keys.values()}
            seen = reduce(ob for cluster in clusters for ob in self._schedd().observe(cluster))
        return [latest_of(seen, cluster, proc) for _, (cluster, proc) in sorted(keys.items())]

    def _followed(self, procs: Iterable[tuple[int, int]]) -> Mapping[tuple[int, int], Observation]:
        """What the schedd said last of a spooled job, whose output is fetched when it has ended."""
        job = self.getJobObject()
        job = job.master or job
        follower, folder = spooled.follower(self._schedd()), self._where()
        since = os.path.getmtime(job.getInputWorkspace().getPath(_SAVED))  # written before it was submitted
        for cluster, proc in procs:
            follower.follow(cluster, [proc], folder, since)
        follower.look()
        return follower.state

    def _note(self, procs: Sequence[Observation]) -> None:
        """Set the outcome's fields to what is most worth telling; only what changed is written."""
        worst = min(procs, key=_rank)
        memory = [proc.memory_mb for proc in procs if proc.memory_mb is not None]
        done = worst.state == "completed"
        new = {
            "status": worst.state,
            "host": worst.host,
            "reason": worst.reason,
            "code": worst.code,
            "exit_code": worst.exit_code if done else None,
            "exit_signal": worst.exit_signal if done else None,
            "memory_used": max(memory) if memory else None,
        }
        for name, value in new.items():
            if getattr(self, name) != value:
                setattr(self, name, value)


# Of a job's tasks, the one whose state is told: trouble first, then life, then what has ended.
_ORDER = (
    "held", "disconnected", "running", "transferring", "evicted", "released", "queued", "removed",
    "completed",
)  # fmt: skip


def _rank(proc: Observation) -> tuple[int, bool]:
    return _ORDER.index(proc.state), proc.exit_code == 0


def _ganga_status(procs: Sequence[Observation]) -> str:
    """Ganga's word for a job with these tasks; a final one only if all have ended."""
    if all(proc.state in FINAL for proc in procs):
        return "completed" if all(proc.exit_code == 0 for proc in procs) else "failed"
    started = {"running", "disconnected", "completed"}
    return "running" if any(proc.state in started for proc in procs) else "submitted"


def _executable(configs: Sequence[Any]) -> tuple[str, list[str], bool]:
    """What to execute, what the arguments begin with, and whether to send it along.

    A file is sent; a path is used as it is on the worker; a command's name is looked up there.
    """
    exe = configs[0].exe
    if any(config.getExeString() != configs[0].getExeString() for config in configs):
        raise SubmitRefused(
            "The subjobs have different executables, and an HTCondor cluster has one.",
            "Make one executable of them that takes an argument, or submit separate jobs.",
        )
    if not isinstance(exe, str):
        return os.path.abspath(exe.name), [], True
    if os.path.isabs(exe):
        return exe, [], False
    return "/usr/bin/env", [exe], False


def _folder(job: Any) -> str:
    return str(job.getOutputWorkspace().getPath()).rstrip("/")


def _local_files(job: Any) -> list[str]:
    """Paths of the job's inputfiles."""
    paths: list[str] = []
    for each in job.inputfiles or []:
        if getName(each) != "LocalFile":
            raise SubmitRefused(
                f"The HTCondor backend can't send a {getName(each)}.",
                "Give local files, or fetch it in the job.",
            )
        pattern = os.path.join(each.localDir or os.getcwd(), each.namePattern)
        found = sorted(glob.glob(pattern))
        if not found:
            raise SubmitRefused(f"There is no input file {pattern}")
        paths += found
    return paths


class _Followed:
    """An event log and what it has said so far."""

    def __init__(self, path: str) -> None:
        self.log = EventLog(path)
        self.state: Mapping[tuple[int, int], Observation] = {}
        #: For each job that asked, what it was told last.
        self.told: dict[str, tuple[Mapping[tuple[int, int], Observation], str]] = {}


# Ganga's polls may overlap, and jobs of one cluster share its log.
_reading = threading.Lock()
_followed: dict[str, _Followed] = {}


def _follow(path: str) -> Mapping[tuple[int, int], Observation]:
    with _reading:
        followed = _followed.setdefault(path, _Followed(path))
        if news := followed.log.read():
            followed.state = reduce(news, followed.state)
        return followed.state


def _is_new(path: str, job: str, submissions: str) -> bool:
    """Whether there is something in the log that the job wasn't told, given what was submitted for it."""
    state = _follow(path)
    with _reading:
        followed = _followed.setdefault(path, _Followed(path))
        before, of = followed.told.get(job, (None, ""))
        followed.told[job] = state, submissions
    return before is not state or of != submissions


def _forget(path: str) -> None:
    with _reading:
        _followed.pop(path, None)
