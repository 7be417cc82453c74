"""The way to the schedd: find it, submit to it, act on its jobs, and say what is wrong if it fails.

A schedd that restarts gets another address, and the bindings' own Schedd object keeps the old one,
so every call here looks it up anew (for a local schedd that reads one small file).
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from ganga_kernel.condor import lifetimes
from ganga_kernel.condor.bindings import DEFAULT_FILES, configuration, load_bindings
from ganga_kernel.condor.credentials import hand_over
from ganga_kernel.condor.description import late
from ganga_kernel.condor.eventlog import WHOLE, Observation
from ganga_kernel.errors import BackendError, GangaKernelError, ScheddUnreachable, SubmitRefused

_log = logging.getLogger(__name__)

# SECMAN 2003 and 2007 say that nobody answers, in the course of authentication or not.
_AUTHENTICATION = re.compile(r"AUTHENTICAT|SECMAN:(?!2003|2007)|auth methods|not authorized", re.I)
_DENIED = re.compile(rf"{_AUTHENTICATION.pattern}|permission", re.I)
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_STATES = {
    1: "queued",
    2: "running",
    3: "removed",
    4: "completed",
    5: "held",
    6: "transferring",
    7: "running",
}
#: What the bindings say where the schedd has SCHEDD_ALLOW_LATE_MATERIALIZE = false.
_NO_FACTORY = "late materialization"
#: Has an edit of a cluster reach its procs that are yet to come into the queue; condor_qedit's own, which
#: the bindings don't name.
_CLUSTER_TOO = 1 << 7
#: What of a job's ad `observation` needs.
JOB_ADS = (
    "ClusterId ProcId JobStatus EnteredCurrentStatus RemoteHost LastRemoteHost ExitCode "
    "ExitBySignal ExitSignal HoldReason HoldReasonCode HoldReasonSubCode RemoveReason MemoryUsage"
).split()


#: Of a spooled job's ad: when its files had come.
STAGED = "StageInFinish"
#: A schedd's name, and the address of the collector that knows it; None for the configured ones.
Where = tuple[str | None, str | None]
#: Schedds that are named to somebody who named an unknown one.
_NAMED = 3


class Schedd:
    """One schedd, looked up for every call.

    Parameters
    ----------
    name:
        Its name as in ``condor_status -schedd``; None for this machine's own.
    pool:
        Address of the pool's collector; None for the configured one.

    Every method raises `ScheddUnreachable` if the schedd can't be found or doesn't answer.
    """

    def __init__(self, name: str | None = None, pool: str | None = None) -> None:
        self.name = name
        self.pool = pool

    def submit(
        self, description: Mapping[str, str], items: Sequence[Mapping[str, str]], max_idle: int = 0
    ) -> int:
        """Submit one cluster with a proc for each item; returns its number.

        Of more than `max_idle` procs, HTCondor puts so many into its queue, and others as these start (late
        materialization); a description that says so itself is followed. A schedd that doesn't do that gets
        all at once, as with 0.

        Raises `SubmitRefused`, with HTCondor's own words, if the schedd does not take it.
        """
        by_and_by = late(description, len(items), max_idle)
        try:
            return self._submit(by_and_by, items)
        except SubmitRefused as error:
            if _NO_FACTORY not in str(error) or by_and_by == description:
                raise
            _log.info("this schedd gets all procs at once: %s", error)
            return self._submit(description, items)

    def _submit(self, description: Mapping[str, str], items: Sequence[Mapping[str, str]]) -> int:
        return int(self.put(description, items).cluster())

    def put(
        self, description: Mapping[str, str], items: Sequence[Mapping[str, str]], spool: bool = False
    ) -> Any:
        """Put a cluster into the queue, and return the bindings' ``SubmitResult``.

        Parameters
        ----------
        spool: its procs are on hold until `send_files` has sent their files; else the schedd reads these

        Raises
        ------
        SubmitRefused: the schedd doesn't take it, with HTCondor's own words.
        """
        htcondor2 = load_bindings()
        folder = description.get("initialdir", "")
        if folder.startswith("/") and "$" not in folder and not Path(folder).is_dir():
            # HTCondor would take the job, and never write its log.
            raise SubmitRefused(f"The job's folder doesn't exist: {folder}", "Make it first.")
        hand_over(description)
        schedd = self._connect()
        try:
            return schedd.submit(
                htcondor2.Submit(dict(description)),
                itemdata=iter([dict(item) for item in items]),
                spool=spool,
            )
        except htcondor2.HTCondorException as error:
            text = _words(error)
            if re.search(r"Failed to connect|locate", text):
                raise self._unreachable(text) from error
            raise SubmitRefused(f"HTCondor refused the job: {text}", _refusal(text)) from error
        except (ValueError, TypeError) as error:
            raise SubmitRefused(f"HTCondor's bindings refused the job: {error}") from error

    def send_files(self, result: Any) -> None:
        """Send the files of a cluster that was put into the queue to be spooled; takes as long as they need.

        Raises
        ------
        BackendError: they can't be read here, or the schedd doesn't take them.
        """
        self._transfer(lambda schedd: schedd.spool(result))

    def fetch_files(self, proc: str) -> None:
        """Bring the output of a spooled proc that has ended to the folder from which it was submitted.

        Raises
        ------
        BackendError: the schedd doesn't send it, or it can't be written here.
        """
        self._transfer(lambda schedd: schedd.retrieve([_checked(proc)]))

    def _transfer(self, transfer: Callable[[Any], None]) -> None:
        htcondor2 = load_bindings()
        schedd = self._connect()
        try:
            transfer(schedd)
        except htcondor2.HTCondorException as error:
            text = _words(error)
            if _AUTHENTICATION.search(text) or "Failed to connect" in text:
                raise self._unreachable(text) from error
            raise BackendError(f"HTCondor says: {text}") from error

    def remove(self, job: str, reason: str) -> int:
        """Remove a cluster (``"12"``) or proc (``"12.3"``); returns the number of jobs changed.

        Of a cluster that comes into the queue little by little the rest counts as one, here and below.
        """
        return self._act("Remove", _checked(job), reason)

    def kill(self, job: str, reason: str) -> int:
        """As `remove`, but what has ended of it stays, if it is in the queue since its output is there."""
        cluster, _, proc = _checked(job).partition(".")
        one = f" && ProcId == {proc}" if proc else ""
        return self._act("Remove", f"ClusterId == {cluster}{one} && JobStatus != 4", reason)

    def hold(self, job: str, reason: str) -> int:
        """Hold a cluster or a proc; returns the number of jobs changed."""
        return self._act("Hold", _checked(job), reason)

    def release(self, job: str, reason: str) -> int:
        """Release a cluster or a proc from its hold; returns the number of jobs changed."""
        return self._act("Release", _checked(job), reason)

    def edit(self, job: str, values: Mapping[str, int]) -> None:
        """Set attributes of the ads of a cluster's jobs, or of a proc's; running ones keep what they have.

        Those of the cluster that have yet to come into the queue get them, too.

        Raises
        ------
        SubmitRefused: the schedd doesn't let it.
        """
        htcondor2 = load_bindings()
        schedd = self._connect()
        flags = htcondor2.TransactionFlag(0 if "." in job else _CLUSTER_TOO)
        try:
            for name, value in values.items():
                schedd.edit(_checked(job), name, str(value), flags)
        except htcondor2.HTCondorException as error:
            raise SubmitRefused(f"HTCondor doesn't change the job: {_words(error)}") from error

    def vacate(self, job: str) -> int:
        """Send a cluster or a proc back to the queue; returns the number of jobs changed."""
        return self._act("VacateFast", _checked(job), "")

    def query(self, constraint: str, attributes: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The ads of the queue's jobs that match, in no order."""
        return self._ads(lambda schedd: schedd.query(constraint, list(attributes)))

    def ads(self, constraint: str) -> list[Any]:
        """The whole ads of the queue's jobs that match, as ``classad2.ClassAd``."""
        return self._asked(lambda schedd: schedd.query(constraint))

    def is_elsewhere(self) -> bool:
        """Whether it is known to be on another machine: by its address, so not where that doesn't say."""
        address = _socket_address(str(self._locate().get("MyAddress", "")))
        if address is None:
            return False
        own = {one.address.partition("%")[0] for of_one in psutil.net_if_addrs().values() for one in of_one}
        return address[0] not in own

    def full_name(self) -> str:
        """Its name in the pool."""
        return str(self._locate().get("Name", ""))

    def history(
        self, constraint: str, attributes: Sequence[str] = (), match: int = -1, since: float = 0.0
    ) -> list[dict[str, Any]]:
        """The ads of jobs that left the queue, latest first.

        At most `match` of them (-1: all), and none that ended before `since` (unix seconds).
        """
        # A spooled one may have ended days before it left the queue: it says nothing about those behind it.
        stop = f"EnteredCurrentStatus < {int(since)} && {STAGED} =?= undefined" if since > 0 else None
        return self._ads(lambda schedd: schedd.history(constraint, list(attributes), match, stop))

    def find_cluster(
        self, attribute: str, value: str, since: float = 0.0, spooled: bool = False
    ) -> int | None:
        """The newest cluster with that attribute in its ad, in the queue or else the history.

        This finds a job that was submitted by a process which died before it could note the number.
        The history is read back to jobs that ended at `since` (unix seconds): a schedd's whole
        history can be long. A spooled one that left the queue before its files had come isn't found.
        """
        if not attribute.isidentifier():
            raise ValueError(f"not an attribute name: {attribute!r}")
        text = value.replace("\\", "\\\\").replace('"', '\\"')
        constraint = f'{attribute} =?= "{text}"'
        ads = self._with_clusters(constraint, ["ClusterId"])
        if not ads:
            sent = f" && {STAGED} =!= undefined" if spooled else ""
            ads = self.history(constraint + sent, ["ClusterId"], 1, since)
        return max((int(ad["ClusterId"]) for ad in ads), default=None)

    def waits_for_files(self, cluster: int) -> bool:
        """Whether a spooled cluster is in the queue of which not all files have come."""
        constraint = f"ClusterId == {cluster} && {STAGED} =?= undefined && JobStatus == 5"
        return bool(self.query(constraint, ["ProcId"]))

    def count_mine(self) -> int:
        """How many jobs this user has in the queue."""
        htcondor2 = load_bindings()
        (counted,) = self._ads(lambda schedd: schedd.query(opts=htcondor2.QueryOpt.SummaryOnly))
        return int(counted["Jobs"])

    def observe(self, cluster: int) -> list[Observation]:
        """What queue and history say about a cluster: for where its event log can't be read.

        One observation a proc, in the vocabulary of `eventlog`, and one of the cluster if it is gone.
        """
        constraint = f"ClusterId == {cluster}"
        queued = self._with_clusters(constraint, JOB_ADS)
        # Asked for last: what leaves the queue meanwhile is in both.
        past = self.history(constraint, JOB_ADS)
        ads = {int(ad["ProcId"]): ad for ad in [*queued, *past] if "ProcId" in ad}
        seen = [observation(ad) for _, ad in sorted(ads.items())]
        if past and not queued:
            made = max(ads) + 1
            seen.append(Observation(cluster, WHOLE, "removed", max(one.time for one in seen), made=made))
        return seen

    def versions(self) -> dict[str, str]:
        """``{"bindings": "25.14.1", "daemon": …}``; the daemon's is empty if it isn't found."""
        htcondor2 = load_bindings()
        try:
            location = self._locate()
        except (ScheddUnreachable, htcondor2.HTCondorException):
            location = {}
        daemon = str(location.get("CondorVersion", ""))
        return {"bindings": _short(htcondor2.version()), "daemon": _short(daemon)}

    def reachable(self, timeout: float = 1.0) -> bool:
        """Whether the schedd answers this process; within `timeout` seconds if nobody is there.

        Never raises. Quiet and nearly free on a machine without HTCondor.
        """
        if configuration() is None:
            return False
        try:
            address = _socket_address(str(self._locate().get("MyAddress", "")))
            if address is not None:
                socket.create_connection(address, timeout).close()
            self.query("false", ["ClusterId"])
        except (GangaKernelError, OSError) as error:
            _log.debug("no HTCondor schedd in reach: %s", error)
            return False
        return True

    # ------------------------------------------------------------------ inside

    def _with_clusters(self, constraint: str, attributes: Sequence[str]) -> list[dict[str, Any]]:
        """As `query`, and the ads of clusters, which have no ProcId: of some no proc is in the queue yet."""
        clusters = load_bindings().QueryOpt.IncludeClusterAd
        return self._ads(lambda schedd: schedd.query(constraint, list(attributes), opts=clusters))

    def _locate(self) -> Any:
        htcondor2 = load_bindings()
        if configuration() is None:
            raise self._unreachable("")
        try:
            collector = htcondor2.Collector(self.pool)
            location = collector.locate(htcondor2.DaemonType.Schedd, self.name)
        except htcondor2.HTCondorException as error:
            raise self._not_located(_words(error)) from error
        if location is None:
            raise self._not_located("no such schedd")
        return location

    def _not_located(self, text: str) -> ScheddUnreachable:
        """The error where the collector can't say where the schedd is: it doesn't answer, or knows none."""
        if self.name is None:
            return self._unreachable(text)
        collector = self.pool or "the configured collector"
        htcondor2 = load_bindings()
        try:
            ads = htcondor2.Collector(self.pool).query(htcondor2.AdType.Schedd, projection=["Name"])
        except htcondor2.HTCondorException as error:
            return ScheddUnreachable(
                f"The schedd {self.name} can't be looked up, as {collector} doesn't answer: {_words(error)}",
                "See whether condor_status -schedd works in a shell, with the same -pool; --pool takes the "
                "collector's HOST or HOST:PORT.",
            )
        names = sorted(str(ad["Name"]) for ad in ads)
        return ScheddUnreachable(
            f"There is no schedd {self.name} that {collector} knows.", nearest(self.name, names)
        )

    def _connect(self) -> Any:
        return load_bindings().Schedd(self._locate())

    def _ads(self, ask: Callable[[Any], Any]) -> list[dict[str, Any]]:
        return [dict(ad) for ad in self._asked(ask)]

    def _asked(self, ask: Callable[[Any], Any]) -> list[Any]:
        htcondor2 = load_bindings()
        schedd = self._connect()
        try:
            return list(ask(schedd))
        except htcondor2.HTCondorException as error:
            raise self._unreachable(_words(error)) from error

    def _act(self, action: str, jobs: str, reason: str) -> int:
        htcondor2 = load_bindings()
        schedd = self._connect()
        # As a plain string the bindings would drop the reason; a number must go with it.
        why = (reason, 0) if reason else None
        try:
            result = schedd.act(getattr(htcondor2.JobAction, action), jobs, why)
        except htcondor2.HTCondorException as error:
            raise self._unreachable(_words(error)) from error
        return int(result["TotalSuccess"]) if result is not None else 0

    def _unreachable(self, text: str) -> ScheddUnreachable:
        """The error for this moment: what was said, with which configuration and versions."""
        config = configuration()
        whose = f"The schedd {self.name}" if self.name else "This machine's HTCondor schedd"
        if config is None:
            return ScheddUnreachable(
                f"{whose} can't be reached: there is no HTCondor configuration ({_looked_for()}).",
                "Set CONDOR_CONFIG to the configuration file, or work on a machine that submits to HTCondor.",
            )
        known = _known_versions(self.pool, self.name)
        facts = f"Configuration: {config}; {known}."
        if _DENIED.search(text):
            ended = lifetimes.ended(lifetimes.found(), time.time())
            return ScheddUnreachable(
                f"{whose} did not accept who we are: {text or 'no reason given'} {facts}",
                ended
                or "Use Python bindings of the daemons' own version (pip install htcondor==VERSION): "
                "bindings and daemons of different versions can fail to authenticate. Otherwise "
                "ask whoever runs the pool which authentication it wants.",
            )
        return ScheddUnreachable(
            f"{whose} can't be reached: {text or 'no reason given'} {facts}",
            "See whether condor_q works in a shell with the same configuration"
            + (
                f", with -name {self.name}."
                if self.name
                else "; if it does not, HTCondor is not running here."
            ),
        )


def reachable(timeout: float = 1.0) -> bool:
    """Whether this machine has an HTCondor schedd in reach; see `Schedd.reachable`."""
    return Schedd().reachable(timeout)


def nearest(name: str, names: Sequence[str]) -> str:
    """What to say to somebody who named an unknown schedd. Pure.

    Parameters
    ----------
    names: of those that there are
    """
    if not names:
        return "It knows none at all: give the --pool to which your schedd belongs."
    within = [one for one in names if name.casefold() in one.casefold()]
    near = (within or difflib.get_close_matches(name, names, _NAMED, 0.5) or list(names))[:_NAMED]
    more = f" ({len(names) - len(near)} more)" if len(names) > len(near) else ""
    return f"There are: {', '.join(near)}{more}; condor_status -schedd lists them."


def observation(ad: Mapping[str, Any]) -> Observation:
    """What a job's ad says of it, as its event log would."""
    state = _STATES.get(int(ad["JobStatus"]), "queued")
    signalled = bool(ad.get("ExitBySignal", False))
    slot = str(ad.get("RemoteHost", ad.get("LastRemoteHost", "")))
    held = state == "held"
    reason = {"held": "HoldReason", "removed": "RemoveReason"}.get(state, "")
    return Observation(
        cluster=int(ad["ClusterId"]),
        proc=int(ad["ProcId"]),
        state=state,
        time=float(ad.get("EnteredCurrentStatus", time.time())),
        host=slot.rsplit("@", 1)[-1],
        slot=slot,
        exit_code=_integer(ad, "ExitCode") if state == "completed" and not signalled else None,
        exit_signal=_integer(ad, "ExitSignal") if state == "completed" and signalled else None,
        reason=str(ad.get(reason, "")),
        code=_integer(ad, "HoldReasonCode") if held else None,
        subcode=_integer(ad, "HoldReasonSubCode") if held else None,
        memory_mb=_integer(ad, "MemoryUsage"),
    )


def _checked(job: str) -> str:
    """A cluster or proc's name, safe to hand on."""
    if not re.fullmatch(r"\d+(\.\d+)?", job):
        raise ValueError(f"not a cluster or cluster.proc: {job!r}")
    return job


def _integer(ad: Mapping[str, Any], name: str) -> int | None:
    # Some attributes (MemoryUsage) are expressions, which a query gives unevaluated.
    value = ad.get(name)
    return int(value) if isinstance(value, int | float) else None


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text.removesuffix(", errmsg=").removesuffix(" errmsg=") or type(error).__name__


def _refusal(text: str) -> str:
    if "expression" in text:
        return "Check requirements, rank and the extra submit commands."
    return "Change what it names, and submit again."


def _looked_for() -> str:
    named = os.environ.get("CONDOR_CONFIG")
    if named is not None:
        return f"CONDOR_CONFIG={named}, which is no such file"
    return "CONDOR_CONFIG isn't set, and there is none of " + ", ".join(DEFAULT_FILES)


def _known_versions(pool: str | None, name: str | None) -> str:
    htcondor2 = load_bindings()
    bindings = f"Python bindings {_short(htcondor2.version())}"
    try:
        location = htcondor2.Collector(pool).locate(htcondor2.DaemonType.Schedd, name)
    except htcondor2.HTCondorException:
        location = None
    daemon = _short(str(location.get("CondorVersion", ""))) if location is not None else ""
    return f"{bindings}, daemons {daemon}" if daemon else f"{bindings}, daemons unknown"


def _short(version: str) -> str:
    found = _VERSION.search(version)
    return found.group() if found else ""


def _socket_address(contact: str) -> tuple[str, int] | None:
    """Host and port of ``<host:port?…>``; None if it holds something else (a name, CCB)."""
    found = re.match(r"<(\[[0-9a-fA-F:]+\]|[^:?<>]+):(\d+)", contact)
    if found is None or "CCBID" in contact:
        return None
    return found.group(1).strip("[]"), int(found.group(2))
