"""What each backend needs from us: attributes of its Ganga object, a command, and a check before submission.

Any backend of Ganga's runs the payload from the spool, which its workers must see. HTCondor's gets the files
of the sandbox instead, and sends the event stream and the result back.
"""

from __future__ import annotations

import difflib
import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..condor import credentials, guards, lifetimes, limits, spooled
from ..condor.description import LOG, SPOOLED_LOG, JobSpec, Task, describe, late
from ..errors import BackendError
from ..filesystems import kind_of
from ..inputfiles import is_url
from ..maps import MOST_TASKS
from ..spool import Spool, description
from ..submitcommands import Command
from . import clusters, packs, slurm, slurmqueue
from .clusters import FURTHER, TOKEN, is_spooled
from .stream import EventStream
from .watch import kill_processes, local_native, local_processes

if TYPE_CHECKING:
    from ..condor.schedd import Schedd

#: Backends that are known before Ganga is loaded.
OURS = ("Local", "HTCondor")
#: The attributes of an HTCondor job that hold what was asked for it.
_ATTRIBUTES = {
    "memory": "RequestMemory", "disk": "RequestDisk", "cpus": "RequestCpus", "gpus": "RequestGPUs",
    "runtime": "AllowedJobDuration",
}  # fmt: skip
#: The attributes of a slot that say how much of it there is.
_SLOT = {"memory": "Memory", "disk": "Disk", "gpus": "GPUs"}
#: The bytes in which these attributes count.
_UNITS = {"memory": 2**20, "disk": 2**10}
#: Attributes of the Ganga object that aren't part of what the schedd is told.
_NOT_IN_A_DESCRIPTION = {"items", "schedd", "pool"}
#: What only HTCondor can be asked for, and would change what the job does elsewhere.
_CONDORS = {"set", "schedd", "pool", "spool", "container", "pack", "retries", "retry_memory"}
#: What the payload's launcher can do on any backend.
_ANYWHERE = {"python", "setup"}
#: Exit codes of a payload that has told its end: see `ganga_kernel.payload.run`, and the launcher.
_TOLD = (0, 1, 3)
#: Procs of a cluster that are listed.
_ROWS = 10
#: Seconds within which all local payloads of a job start, once one has.
_START = 30.0
#: Backends of Ganga's that can't run a batch cell: its own Condor needs bindings that are gone from current
#: HTCondor releases, the others are no batch systems.
_UNFIT = {"Batch", "Condor", "Interactive", "Remote"}


def check(job: dict[str, Any], allowed: dict[str, Any], spool: Path) -> None:
    """See that a job's backend can be reached. May take seconds if not.

    Raises
    ------
    ScheddUnreachable: the HTCondor schedd doesn't answer, or the pool knows none of that name.
    SubmitRefused: it is on another machine, which doesn't see the spool; or has no room for more.
    BackendError: no Slurm answers.
    """
    if job["backend"] == "HTCondor":
        schedd = _schedd(job)
        if is_spooled(job):
            guards.check_queue(allowed, schedd.count_mine(), job["tasks"])
            return
        schedd.query("false", ["ClusterId"])
        if schedd.name:
            guards.check_shared(schedd.name, kind_of(spool), schedd.is_elsewhere())
    elif job["backend"] == "Slurm":
        slurmqueue.ask()


def check_resources(backend: str, resources: dict[str, Any]) -> None:
    """See that the backend can be asked for these resources, and can read what it gets verbatim.

    Raises
    ------
    BackendError, SubmitRefused: it can't.
    """
    if "retry_memory" in resources and "memory" not in resources:
        raise BackendError(
            "--retry-memory makes more of --memory, and none is asked for.", "Add --memory, e.g. 2GB."
        )
    if "pool" in resources and "schedd" not in resources:
        raise BackendError(
            "--pool says which collector knows a schedd, and no schedd is named.",
            f"Add --schedd NAME; condor_status -schedd -pool {resources['pool']} lists them.",
        )
    if resources.get("pack") and "python" in resources:
        raise BackendError(
            "--pack sends the notebook's own Python along, and --python names another.",
            "Leave one of them out.",
        )
    if backend == "HTCondor":
        from ..condor.check import check as check_texts
        from ..condor.check import check_container

        requirements, rank, group = (resources.get(name, "") for name in ("requirements", "rank", "group"))
        check_texts(requirements, rank, group, _commands(resources))
        if "container" in resources:
            check_container(resources["container"])
        return
    if backend == "Local" and resources.get("pack"):
        raise BackendError(
            "--pack sends the notebook's environment to workers that don't see it, and a local job runs in "
            "it as it is.",
            "Leave --pack out, or use HTCondor.",
        )
    if backend == "Slurm":
        slurm.options({"id": 0, "token": "", "resources": resources})
    asked = {name for name, value in resources.items() if value is not False}
    vain = asked.difference({"Local": asked - _CONDORS, "Slurm": slurm.POSSIBLE}.get(backend, _ANYWHERE))
    if vain:
        raise BackendError(
            f"The backend {backend} can't be asked for {', '.join(sorted(vain)).replace('_', '-')} yet.",
            "Leave these options out, or use HTCondor.",
        )


def caution(job: dict[str, Any], allowed: dict[str, Any]) -> str:
    """A sentence on the credentials that HTCondor needs for a job, if they end before it may have.

    On this machine's own schedd the login counts, unless the job takes a credential along.
    """
    if job["backend"] != "HTCondor":
        return ""
    commands = with_sites(_commands(job["resources"]), allowed.get("commands", {}))
    if "schedd" in job["resources"]:
        needed = lifetimes.found()
    elif credentials.is_wanted(commands):
        needed = lifetimes.tickets()
    else:
        return ""
    limit = limits.runtime(allowed, job["resources"])
    return lifetimes.too_short(needed, limit[0] if limit else None, time.time())


def check_site(job: dict[str, Any], allowed: dict[str, Any], spool: Path) -> None:
    """See that nothing that is known of the site and the spool's disk is in a job's way; see `guards.check`.

    Raises
    ------
    SubmitRefused: something is.
    """
    sent = sum(path.stat().st_size for path in _files(Path(job["folder"]), spool))
    guards.check(allowed, kind_of(spool), job["tasks"], sent, is_spooled(job))


def most_tasks(job: dict[str, Any], spool: Path) -> int:
    """How many tasks a job may have."""
    of_site = job["limits"].get("spooled_tasks") if is_spooled(job) else None
    return guards.most_tasks(kind_of(spool), MOST_TASKS, of_site)


def _commands(resources: dict[str, Any]) -> dict[str, str]:
    """The submit commands that were asked for."""
    return dict(resources.get("set", ()))


def with_sites(asked: dict[str, str], of_site: dict[str, str]) -> dict[str, str]:
    """The submit commands that were asked for, and those of a site's jobs that weren't."""
    said = {Command(*one).attribute for one in asked.items()}
    return {n: v for n, v in of_site.items() if Command(n, v).attribute not in said} | asked


def schedd_in_reach() -> bool:
    """Whether an HTCondor schedd answers here. May take a second."""
    from ..condor.schedd import Schedd

    return Schedd().reachable()


def fit(known: list[str]) -> list[str]:
    """Those of Ganga's backends that can run a batch cell."""
    return [name for name in known if name not in _UNFIT]


def advice(name: str, known: list[str]) -> str:
    """What to say to somebody who named an unknown backend."""
    by_folded = {one.casefold(): one for one in known}
    within = [folded for folded in by_folded if name.casefold() in folded]
    near = within or difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    named = f"Did you mean {by_folded[near[0]]}? " if near else ""
    return f"{named}Ganga's backends here are: {', '.join(known)}."


def prepare(backend: str, job: dict[str, Any], spool: Path) -> tuple[dict[str, Any], list[list[str]]]:
    """The attributes of the Ganga backend object, and the commands, for a job of the store.

    One command stands for a whole job; several are those of its tasks, each a subjob of Ganga's.
    """
    folder = Path(job["folder"])
    payload = Spool(spool).payload()
    if backend == "HTCondor":
        return _condor(job, folder, payload)
    begin = ["/usr/bin/env", *_beginning(job, folder, spool)]
    commands = [
        [
            *begin, str(payload), "--job", str(folder / "job.json"), "--task", str(task),
            "--events", str(folder / f"{task}.events"), "--result", str(folder / f"{task}.result"),
            "--errors", str(folder / f"{task}.stderr"),
        ]
        for task in range(len(job["tasks"]))
    ]  # fmt: skip
    if backend == "Slurm":
        return {"extraopts": slurm.options(job)}, commands
    split_at_once = {"batchsize": len(commands)} if backend == "Local" and len(commands) > 1 else {}
    return split_at_once, commands


def _beginning(job: dict[str, Any], folder: Path, spool: Path) -> list[str]:
    """How a command begins on a worker that sees the spool.

    The notebook's own interpreter needs no launcher. Another is looked up as the notebook would: Ganga's
    Local starts jobs with an empty environment.
    """
    python, setup = python_of(job)
    if not setup and not _ANYWHERE & set(job["resources"]):
        return [python]
    environ = description(folder)["environ"]
    given = [f"{name}={environ[name]}" for name in ("PATH", "HOME") if name in environ]
    return [*given, "/bin/sh", str(Spool(spool).launcher()), python, setup]


def python_of(job: dict[str, Any]) -> tuple[str, str]:
    """The Python that runs a job's payload, and the shell code that is run before; empty if none is.

    Unless one is named, it is the notebook's own; where there is something else, the one that is found there.
    """
    asked = job["resources"]
    if packs.is_asked(job):
        return packs.name(job), asked.get("setup", "")
    elsewhere = "setup" in asked or "container" in asked
    own = "python3" if elsewhere else str(job["python"]["executable"])
    return asked.get("python", own), asked.get("setup", "")


def described(job: dict[str, Any], spool: Path, max_idle: int) -> dict[str, Any]:
    """What a job that is not submitted would be.

    Parameters
    ----------
    job: as a client submits it; its folder is there
    max_idle: see `condor.schedd.Schedd.submit`

    Returns
    -------
    ``files`` that the job needs, with sizes in bytes; ``python``, which one runs it; ``lines``, how the
    backend would be told, and ``called``, what these are.
    """
    numbered = {**job, "id": "N", "tasks": [{}] * job["tasks"]}
    fields, commands = prepare(job["backend"], numbered, spool)
    files = [str(path) for path in _files(Path(job["folder"]), spool)]
    called = "Submit description"
    if job["backend"] == "HTCondor":
        files = [name for name in fields["input_files"] if not is_url(name)]
        if job["map"] and job["map"]["rehearse"]:
            fields["items"] = fields["items"][:1]
            called = "Submit description of the first task"
        lines, rows = _submitted(fields, commands)
        lines = lines if is_spooled(job) else late(lines, len(rows), max_idle)
        shown = [*(f"{name} = {value}" for name, value in lines.items()), *_queue(rows)]
    else:
        shown = [shlex.join(command) for command in commands]
        if job["backend"] == "Slurm":
            shown = [f"sbatch {fields['extraopts']}", *shown]
        called = "Commands" if len(commands) > 1 else "Command"
    sizes = [(name, Path(name).stat().st_size) for name in files]
    return {"files": sizes, "python": _python_in_words(job), "called": called, "lines": shown}


def _python_in_words(job: dict[str, Any]) -> str:
    python, setup = python_of(job)
    own, version = job["python"]["executable"], ".".join(map(str, job["python"]["version"]))
    if packs.is_asked(job):
        return f"{own} ({version}), the notebook's own, packed and sent along"
    if python == own:
        return f"{python} ({version}), the notebook's own"
    image = job["resources"].get("container")
    return f"{python} of {image or 'the worker'}" + (f", after {setup}" if setup else "")


def further(
    job: dict[str, Any], first: int, spool: Path, max_idle: int
) -> tuple[dict[str, str], list[dict[str, str]], int]:
    """A further cluster of a job, of its tasks from `first` on: description, items, and `max_idle`."""
    fields, commands = prepare("HTCondor", job, spool)
    fields["items"] = fields["items"][first:]
    fields["attributes"] |= {FURTHER: _further_name(job, first)}
    return *_submitted(fields, commands), max_idle


def add_cluster(
    job: dict[str, Any], description: dict[str, str], items: list[dict[str, str]], max_idle: int
) -> int:
    """Submit a further cluster of a job that Ganga doesn't know, as its broker died meanwhile; its number.

    Raises
    ------
    SubmitRefused, ScheddUnreachable: HTCondor doesn't take it.
    """
    if is_spooled(job):
        return spooled.submit(_schedd(job), Path(job["folder"]), description, items)
    return _schedd(job).submit(description, items, max_idle)


def find_further(job: dict[str, Any], first: int) -> int | None:
    """The cluster that `further` describes, if it was submitted."""
    return _found(job, FURTHER, _further_name(job, first))


def _further_name(job: dict[str, Any], first: int) -> str:
    return f"{job['token']}.{first}"


def _submitted(
    fields: dict[str, Any], commands: list[list[str]]
) -> tuple[dict[str, str], list[dict[str, str]]]:
    """What HTCondor is told of a job that was prepared: as Ganga's plugin does."""
    command, *arguments = commands[0]
    spec = {name: value for name, value in fields.items() if name not in _NOT_IN_A_DESCRIPTION}
    if fields["spool"]:
        spec["log"] = SPOOLED_LOG
    return describe(JobSpec(command, arguments=arguments, **spec), [Task(str(i)) for i in fields["items"]])


def asked_of_a_slot(resources: dict[str, Any]) -> dict[str, Any]:
    """What `ganga_kernel.condor.slots` needs to know of a job's resources."""
    return {
        "pool": resources.get("pool"),
        "requirements": resources.get("requirements", ""),
        "Cpus": resources.get("cpus", 1),
        **{_SLOT[name]: _in_condor(name, resources[name]) for name in _SLOT if name in resources},
    }


def _queue(rows: list[dict[str, str]]) -> list[str]:
    """The end of a submit description: how many procs, and what is different in each."""
    if len(rows) == 1:
        return [f"{name} = {value}" for name, value in rows[0].items()] + ["queue"]
    values = [f"    {', '.join(row.values())}" for row in rows]
    if len(values) > _ROWS:
        values[_ROWS - 1 : -1] = [f"    … ({len(values) - _ROWS} more)"]
    return [f"queue {', '.join(rows[0])} from (", *values, ")"]


def native(backend: str, ganga_backend: Any, parts: list[Any], outputs: list[Path]) -> str:
    """What the backend calls the job, as text for the store.

    Parameters
    ----------
    ganga_backend: the job's backend object
    parts: those of each subjob, or else the job's
    outputs: in the same way, the folders of Ganga's output
    """
    if backend == "Local":
        return local_native(ganga_backend, outputs)
    if backend == "HTCondor":
        return str(ganga_backend.cluster_id)
    if backend == "Slurm":
        return slurmqueue.native([str(part.id) for part in parts])
    return json.dumps({"id": str(getattr(ganga_backend, "id", ""))})


def log(job: dict[str, Any], task: int) -> Path | None:
    """The log that the backend keeps of a task; None if it keeps none that can be read here.

    A spooled one has a log of its own, which comes with its output; else it is that of the job.
    """
    if job["backend"] != "HTCondor":
        return None
    return Path(job["folder"]) / (f"{task}.log" if is_spooled(job) else LOG)


def adopt(job: dict[str, Any]) -> str | None:
    """What a broker that died left running while it handed a job over, as `native` would say it.

    None: nothing was started, and the job can be handed over again.
    """
    folder = Path(job["folder"])
    if job["backend"] == "HTCondor":
        cluster = _found(job, TOKEN, job["token"])
        return None if cluster is None else str(cluster)
    if job["backend"] == "Local":
        streams = [folder / f"{task['task']}.events" for task in job["tasks"]]
        pids = [_started(stream) for stream in streams]
        given_up = time.monotonic() + _START
        while any(pids) and not all(pids) and time.monotonic() < given_up:  # the others are on their way
            time.sleep(0.1)
            pids = [_started(stream) for stream in streams]
        return local_processes((pid, folder / "unknown") for pid in pids) if any(pids) else None
    if job["backend"] == "Slurm":
        tasks = [task["task"] for task in job["tasks"]]
        found = slurmqueue.find(job["token"], len(tasks))
        if found is None and any(_started(folder / f"{task}.events") for task in tasks):
            return slurmqueue.native([""] * len(tasks))  # they have ended, and Slurm has forgotten them
        return found
    return None


def is_being_sent(job: dict[str, Any]) -> bool:
    """Whether a process sends a job's files, perhaps one of a broker that died.

    Before it has ended it can't be told whether they are there.
    """
    return is_spooled(job) and spooled.is_being_sent(Path(job["folder"]))


def _found(job: dict[str, Any], attribute: str, value: str) -> int | None:
    """The cluster of a job that was submitted, by its attribute.

    A spooled one whose files hadn't all come when their sender died would be on hold for ever: it is removed.
    """
    schedd = _schedd(job)
    cluster = schedd.find_cluster(attribute, value, since=job["created"], spooled=is_spooled(job))
    if cluster is not None and is_spooled(job) and schedd.waits_for_files(cluster):
        schedd.remove(str(cluster), "its files were not sent to the end")
        return None
    return cluster


def _started(stream: Path) -> int:
    """The process of a payload, as it says itself; 0 if it hasn't started."""
    _, events = EventStream(stream).read()
    return next((int(event["pid"]) for event in events if event["event"] == "start"), 0)


def remove(job: dict[str, Any]) -> None:
    """End what Ganga doesn't know: an adopted job, or the subjobs on this host that it hasn't met yet."""
    if job["backend"] == "HTCondor":
        for cluster in clusters.names(job["clusters"]):
            _end(job, cluster, "killed in the notebook")
    elif job["backend"] == "Slurm":
        slurmqueue.cancel(json.loads(job["native"]))
    else:
        kill_processes(job["native"])


def remove_task(job: dict[str, Any], task: int, reason: str) -> bool:
    """End one task of a job on HTCondor or Local; whether that has it.

    Parameters
    ----------
    reason: for HTCondor's log
    """
    if job["backend"] == "Local":
        return bool(kill_processes(job["native"], task))
    proc = clusters.proc_of(job["clusters"], task)
    return proc is not None and bool(_end(job, proc, reason))


def _end(job: dict[str, Any], name: str, reason: str) -> int:
    """End a cluster or a proc of a job; of a spooled one what has ended already waits to be fetched."""
    schedd = _schedd(job)
    return schedd.kill(name, reason) if is_spooled(job) else schedd.remove(name, reason)


def act(job: dict[str, Any], action: str) -> int:
    """Hold or release what is in HTCondor's queue of a job; returns how many of its procs changed.

    Parameters
    ----------
    action: "hold" or "release"

    Raises
    ------
    BackendError: its backend has no such action, or doesn't have the job.
    """
    of_job, schedd = _clusters(job, action), _schedd(job)
    if action == "hold":
        return sum(schedd.hold(cluster, "held in the notebook") for cluster in of_job)
    return sum(schedd.release(cluster, "released in the notebook") for cluster in of_job)


def change(job: dict[str, Any], resources: dict[str, Any]) -> None:
    """Ask for other resources for what of a job has yet to start, or starts again.

    Raises
    ------
    BackendError, SubmitRefused: its backend doesn't let it.
    """
    asked = {_ATTRIBUTES[name]: _in_condor(name, n) for name, n in resources.items()}
    for cluster in _clusters(job, "change"):
        _schedd(job).edit(cluster, asked)


def retry(job: dict[str, Any], task: int, memory: int) -> None:
    """Release a task that HTCondor has on hold, with more memory.

    Parameters
    ----------
    memory: bytes

    Raises
    ------
    ScheddUnreachable, SubmitRefused: HTCondor doesn't let it.
    """
    proc, schedd = clusters.proc_of(job["clusters"], task), _schedd(job)
    assert proc is not None
    schedd.edit(proc, {"RequestMemory": _in_condor("memory", memory)})
    schedd.release(proc, "released with more memory")


def _schedd(job: dict[str, Any]) -> Schedd:
    """The schedd that gets a job, or has it: what is done with a job later is done there."""
    from ..condor.schedd import Schedd

    return Schedd(*clusters.where(job))


def _clusters(job: dict[str, Any], action: str) -> list[str]:
    """The clusters of a job that HTCondor has."""
    if job["backend"] != "HTCondor":
        raise BackendError(
            f"Job {job['id']} is on {job['backend']}, which can't {action} jobs.", "HTCondor can."
        )
    if job["handed"] != 2:
        raise BackendError(f"HTCondor doesn't have job {job['id']} yet.", "Try again in a moment.")
    return clusters.names(job["clusters"])


def _in_condor(name: str, value: int) -> int:
    """A resource in HTCondor's own unit: MB of memory, KB of disk."""
    return -(-value // _UNITS.get(name, 1))


def _condor(job: dict[str, Any], folder: Path, payload: Path) -> tuple[dict[str, Any], list[list[str]]]:
    """HTCondor: nothing is taken to be shared; the sandbox goes out and the result comes back."""
    launch = Spool(payload.parent.parent).launcher()
    asked, files = job["resources"], _travelling(description(folder))
    python, setup = python_of(job)
    sent = [launch, *_files(folder, payload.parent.parent)]
    fields = {
        "folder": str(folder),
        "input_files": [*map(str, sent), *files["urls"]],
        "output_files": ["{task}.result", *(["{task}.files"] if files["output"] else [])],
        "items": list(range(len(job["tasks"]))),
        "batch_name": f"ganga-kernel {job['id']}",
        "attributes": {TOKEN: job["token"]},
        "memory": _megabytes(asked.get("memory")),
        "disk": _megabytes(asked.get("disk", packs.disk(job, sent))),
        "cpus": asked.get("cpus"),
        "gpus": asked.get("gpus"),
        "max_runtime": asked.get("runtime"),
        "requirements": asked.get("requirements", ""),
        "rank": asked.get("rank", ""),
        "accounting_group": asked.get("group", ""),
        "container": asked.get("container", ""),
        "extra": with_sites(_commands(asked), job["limits"].get("commands", {})),
        "retries": asked.get("retries"),
        "final_codes": list(_TOLD),
        "schedd": asked.get("schedd", ""),
        "spool": bool(asked.get("spool")),
        "pool": asked.get("pool", ""),
    }  # fmt: skip
    command = ["/bin/sh", launch.name, python, setup, payload.name, "--job", "job.json", "--task", "{task}"]
    return fields, [command]


def urls(folder: Path) -> list[str]:
    """What HTCondor is to fetch for the job in a folder."""
    return list(_travelling(description(folder))["urls"])


def _travelling(described: dict[str, Any]) -> dict[str, Any]:
    """The files that a payload is to have and to bring back."""
    return described.get("files") or {"archive": None, "large": [], "urls": [], "output": []}


def _files(folder: Path, spool: Path) -> list[Path]:
    """What a payload reads."""
    described = description(folder)
    mapped = [described["map"]["items"]] if described["map"] else []
    inputs = (one["file"] for one in described["inputs"])
    modules = [described["modules"]] if described["modules"] else []
    files = _travelling(described)
    given = [*filter(None, [files["archive"], described.get("pack")])]
    given += [file for _, file, _ in files["large"]]
    own = [Spool(spool).payload(), folder / "job.json", folder / "key"]
    named = [described["namespace"], *described["buffers"], *mapped, *modules, *inputs, *given]
    return [*own, *map(Path, named)]


def _megabytes(asked: int | None) -> int | None:
    return None if asked is None else -(-asked // 2**20)
