"""HTCondor: bindings, configuration, schedd, slots, credentials, and the pool's limits.

``python -m ganga_kernel.doctor.condor QUESTION`` writes the findings as JSON; the question is JSON, too.
`look` runs that in a process of its own: HTCondor's bindings wait for a daemon that hangs, and can't be
interrupted.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..condor import collector, guards, lifetimes
from ..condor.bindings import configuration, load_bindings
from ..condor.schedd import Schedd
from ..errors import GangaKernelError, ScheddUnreachable, SubmitRefused
from ..filesystems import kind_of
from ..options import spell_size
from . import credentials
from .finding import FAILURE, NOTE, OK, WARNING, Finding

_AREA = "HTCondor"
#: Seconds after which a daemon that doesn't answer is given up.
_PATIENCE = 60
#: The options that say which schedd gets a job, and how it gets the files.
_WHERE = ("schedd", "pool", "spool")
_SLOT = (
    "Machine", "TotalSlotCpus", "Cpus", "TotalSlotMemory", "Memory", "TotalSlotGPUs", "OpSysAndVer", "Arch",
    "FileSystemDomain", "HasDocker", "HasSingularity",
)  # fmt: skip
#: Limits that a schedd may have: its parameter, and what it limits.
_LIMITS = {
    "MAX_JOBS_PER_SUBMISSION": "jobs in one submission",
    "MAX_JOBS_PER_OWNER": "jobs of one user in the queue",
    "MAX_JOBS_SUBMITTED": "jobs in the queue",
    "MAX_JOBS_RUNNING": "running jobs",
}
#: A limit of this many jobs is none.
_UNLIMITED = 100_000


def look(needed: bool, options: Mapping[str, Any], spool: Path) -> list[Finding]:
    """What is to be said of HTCondor here.

    Parameters
    ----------
    needed: whether batch cells go there unless they say otherwise
    options: what they are asked for with unless they say otherwise, a schedd perhaps
    spool: the folder of their files
    """
    if configuration() is None:
        status = FAILURE if needed else NOTE
        return [
            Finding(
                _AREA, status, "There is no HTCondor configuration on this machine: cells can't go there.",
                "Set CONDOR_CONFIG to the configuration file, or work on a machine that submits to HTCondor."
                if needed else "",
            )
        ]  # fmt: skip
    question = {"schedd": None, "pool": None, **{n: options[n] for n in _WHERE if n in options}}
    question["kind"] = kind_of(spool)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ganga_kernel.doctor.condor", json.dumps(question)],
            capture_output=True, text=True, timeout=_PATIENCE,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [
            Finding(_AREA, FAILURE, f"HTCondor doesn't answer within {_PATIENCE} s.",
                    "See whether condor_q works in a shell; if it hangs too, ask whoever runs the pool.")
        ]  # fmt: skip
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return [
            Finding(_AREA, FAILURE, f"HTCondor's bindings broke down: {why}", "Install their newest version.")
        ]
    return [Finding(*one) for one in json.loads(done.stdout)]


def _look(question: dict[str, Any]) -> list[Finding]:
    schedd = Schedd(question["schedd"], question["pool"])
    try:
        versions = schedd.versions()
    except ScheddUnreachable as error:
        return [Finding(_AREA, FAILURE, error.message, error.remedy)]
    found = [_versions(versions)]
    began = time.monotonic()
    try:
        queued = len(schedd.query("true", ["ClusterId"]))
        name = schedd.full_name()
    except GangaKernelError as error:
        return [*found, Finding(_AREA, FAILURE, error.message, error.remedy), *_credentials()]
    took = 1000 * (time.monotonic() - began)
    found.append(
        Finding(_AREA, OK, f"The schedd {name} answers in {took:.0f} ms; {queued} jobs are in its queue.")
    )
    if schedd.name:
        found.append(_files(schedd, question))
    return [*found, *_slots(schedd.pool), *_limits(), *_credentials()]


def _files(schedd: Schedd, question: dict[str, Any]) -> Finding:
    """How a schedd that was named gets the files of jobs."""
    if question.get("spool"):
        return Finding(
            _AREA, OK, f"Files are sent to the schedd {schedd.name}, and fetched from it (--spool)."
        )
    try:
        guards.check_shared(str(schedd.name), question["kind"], schedd.is_elsewhere())
    except SubmitRefused as error:
        return Finding(_AREA, FAILURE, error.message, error.remedy)
    return Finding(
        _AREA, NOTE, f"The schedd {schedd.name} must see the spool, a folder on {question['kind']}.",
        "If it doesn't, say --spool. ganga-kernel doctor --submit tells.",
    )  # fmt: skip


def _versions(versions: dict[str, str]) -> Finding:
    bindings, daemon = versions["bindings"], versions["daemon"]
    said = f"Bindings {bindings}, daemons {daemon or 'unknown'}, configuration {configuration()}."
    series = daemon.split(".")[0]
    if daemon and series != bindings.split(".")[0]:
        return Finding(
            _AREA, WARNING, said,
            f"Versions that far apart can fail to authenticate: pip install 'htcondor=={series}.*'",
        )  # fmt: skip
    return Finding(_AREA, OK, said)


def _slots(pool: str | None) -> list[Finding]:
    try:
        ads = collector.query(load_bindings().AdType.Slot, collector.UNDIVIDED, _SLOT, pool)
    except ScheddUnreachable as error:
        return [
            Finding(_AREA, WARNING, error.message, "Jobs go their way; why they wait can't be told.")
        ]  # fmt: skip
    if not ads:
        return [
            Finding(_AREA, FAILURE, "The pool has no slots: jobs would wait.", "Ask whoever runs the pool.")
        ]
    return [Finding(_AREA, OK, _pool(ads)), _worker_files(ads), _containers(ads)]


def _pool(ads: list[Any]) -> str:
    machines = {str(ad.get("Machine", "")) for ad in ads}
    cpus = sum(int(ad.get("TotalSlotCpus", ad.get("Cpus", 1))) for ad in ads)
    memory = max(int(ad.get("TotalSlotMemory", ad.get("Memory", 0))) for ad in ads) * 2**20
    gpus = sum(int(ad.get("TotalSlotGPUs", 0)) for ad in ads)
    systems = Counter(f"{ad.get('OpSysAndVer', '?')} {ad.get('Arch', '?')}" for ad in ads)
    kinds = ", ".join(kind for kind, _ in systems.most_common(4))
    with_gpus = f", {gpus} GPUs" if gpus else ""
    return (
        f"{len(machines)} machines with {len(ads)} slots, {cpus} cores{with_gpus}; {kinds}; "
        f"the largest slot has {spell_size(memory)} of memory."
    )


def _worker_files(ads: list[Any]) -> Finding:
    htcondor2 = load_bindings()
    mine = str(htcondor2.param.get("FILESYSTEM_DOMAIN", socket.getfqdn()))
    shared = sum(str(ad.get("FileSystemDomain", "")).lower() == mine.lower() for ad in ads)
    if shared == len(ads):
        return Finding(_AREA, OK, f"All slots share this machine's files (FileSystemDomain {mine}).")
    which = "No slot shares" if not shared else f"{shared} of {len(ads)} slots share"
    return Finding(
        _AREA, NOTE if shared else WARNING,
        f"{which} this machine's files, by what they say of themselves (FileSystemDomain {mine}).",
        "See with ganga-kernel doctor --submit HTCondor whether this Python is there.",
    )  # fmt: skip


def _containers(ads: list[Any]) -> Finding:
    kinds = {"Docker": "HasDocker", "Apptainer": "HasSingularity"}
    able = {kind: sum(bool(ad.get(attribute)) for ad in ads) for kind, attribute in kinds.items()}
    said = ", ".join(f"{kind} on {count} slots" for kind, count in able.items() if count)
    return Finding(_AREA, NOTE, f"Containers: {said or 'none'}.")


def _limits() -> list[Finding]:
    param = load_bindings().param
    limits = {what: int(param[name]) for name, what in _LIMITS.items() if str(param.get(name, "")).isdigit()}
    said = ", ".join(f"{limit} {what}" for what, limit in limits.items() if limit < _UNLIMITED)
    return [Finding(_AREA, NOTE, f"Limits in this machine's configuration: {said}.")] if said else []


def _credentials() -> list[Finding]:
    param = load_bindings().param
    methods = " ".join(
        str(param.get(f"SEC_{who}_AUTHENTICATION_METHODS", "")) for who in ("CLIENT", "DEFAULT")
    ).upper()
    return credentials.look(lifetimes.token_folders(), "KERBEROS" in methods)


if __name__ == "__main__":
    json.dump(_look(json.loads(sys.argv[1])), sys.stdout)
