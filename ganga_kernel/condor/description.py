"""From plain data to an HTCondor submit description: dictionaries of strings, and nothing else.

A submit description is a macro language, so text that comes from a user has to be protected: ``$``
starts a macro when the job is submitted, and ``$$`` one more when it is matched to a machine. What
the language cannot say (a newline, a comma in a list of files) is refused with a `SubmitRefused`
that names it; nothing is silently changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ganga_kernel.errors import SubmitRefused
from ganga_kernel.inputfiles import is_url

#: In an argument, a folder-relative file name or an environment value: the task's own name.
TASK = "{task}"
#: HTCondor's event log of a job, in its folder.
LOG = "condor.log"
#: That of a task, of a job whose files are spooled.
SPOOLED_LOG = "{task}.log"

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_EXTRA_NAME = re.compile(r"(\+|MY\.)?[A-Za-z_][A-Za-z0-9_.]*\Z", re.IGNORECASE)
_DOLLAR_MACRO = re.compile(r"\$\(\s*DOLLAR\s*[:)]", re.IGNORECASE)
_LATE = {"max_idle", "max_materialize"}
_ARGUMENTS, _ENVIRONMENT, _FOLDER = "task_arguments", "task_environment", "task_folder"

#: A job that has ended stays in the queue for ten days: whoever fetches its output takes it out.
_UNTIL_FETCHED = "JobStatus == 4 && time() < CompletionDate + 864000"

# Commands that belong to a field of JobSpec, or on which the rest of the plugin relies: a job whose cell
# raised an error has ended, so HTCondor must not run it again.
_RESERVED = frozenset(
    "arguments environment error executable getenv initialdir input leave_in_queue log max_retries "
    "on_exit_remove output queue retry_until should_transfer_files stream_error stream_output "
    "transfer_executable "
    "transfer_input_files transfer_output_files when_to_transfer_output".split()
)


@dataclass(frozen=True)
class Task:
    """One proc of the cluster.

    Parameters
    ----------
    name:
        Replaces ``{task}``, and names the task's files; letters, digits, ``.``, ``-`` and ``_``.
    arguments, environment, folder:
        The task's own, in the place of the job's; None for the job's.
    """

    name: str = "0"
    arguments: Sequence[str] | None = None
    environment: Mapping[str, str] | None = None
    folder: str | None = None


@dataclass(frozen=True)
class JobSpec:
    """What to run, with what, and where its files go.

    Parameters
    ----------
    executable:
        Absolute path: of this machine if `transfer_executable`, otherwise of the worker.
    folder:
        Absolute path of an existing folder of this machine: results and logs go there.
    arguments, environment:
        For every task; ``{task}`` stands for the task's name.
    input_files:
        Absolute paths of files to send along, and URLs to fetch; they arrive under their base names.
    output_files:
        Names of files that the job must make and HTCondor brings back; a missing one holds the job.
        Empty: none. None: every new file at the top of the job's scratch folder.
    output, error, log:
        Names of files within the folder. Output is streamed while the job runs, but of a spooled one.
    spool:
        The files are sent to the schedd, and fetched when the job has ended; it is in the queue until then.
    memory, disk:
        MB; None for the pool's default.
    cpus, gpus:
        Numbers; None for the pool's default.
    max_runtime:
        Seconds that one run of the job may take, its file transfers included; past them it is held.
    requirements, rank, accounting_group, batch_name:
        As in a submit file; empty for none. The first two are ClassAd expressions.
    container:
        Image that the job runs in: a URL (``docker://…``) or an absolute path; empty for none.
    attributes:
        Attributes of the job's ad, strings.
    retries:
        How often a task runs again that ended by a signal, or with an exit code not among `final_codes`.
    extra:
        Further submit commands, verbatim.
    """

    executable: str
    folder: str
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    transfer_executable: bool = False
    input_files: Sequence[str] = ()
    output_files: Sequence[str] | None = ()
    output: str = "{task}.events"
    error: str = "{task}.stderr"
    log: str = LOG
    spool: bool = False
    memory: int | None = None
    disk: int | None = None
    cpus: int | None = None
    gpus: int | None = None
    max_runtime: int | None = None
    requirements: str = ""
    rank: str = ""
    accounting_group: str = ""
    batch_name: str = ""
    container: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    retries: int | None = None
    final_codes: Sequence[int] = (0,)


def describe(spec: JobSpec, tasks: Sequence[Task] = (Task(),)) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The submit description of one cluster, and the item data of its procs (one each, in order).

    Raises `SubmitRefused` for what a submit description cannot say.
    """
    if not tasks:
        raise SubmitRefused("The job has no task.", "Give it at least one.")
    own_arguments = any(task.arguments is not None for task in tasks)
    own_environment = any(task.environment is not None for task in tasks)
    own_folder = any(task.folder is not None for task in tasks)
    folder = f"$({_FOLDER})" if own_folder else path(spec.folder, "the job's folder")

    lines = {
        "universe": "container" if spec.container else "vanilla",
        "executable": path(spec.executable, "the executable"),
        "transfer_executable": "true" if spec.transfer_executable else "false",
        "arguments": f"$({_ARGUMENTS})" if own_arguments else quote_arguments(spec.arguments),
        "environment": (f"$({_ENVIRONMENT})" if own_environment else quote_environment(spec.environment)),
        "getenv": "false",
        "initialdir": folder,
        "output": f"{folder}/{_file_name(spec.output, 'the output file')}",
        "error": f"{folder}/{_file_name(spec.error, 'the error file')}",
        # One log for the cluster: beside the first task's files if each has a folder of its own.
        "log": f"{path(spec.folder, 'the folder')}/{_file_name(spec.log, 'the log')}",
        "stream_output": "false" if spec.spool else "true",
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT",
        "notification": "never",
    }
    if spec.spool:
        lines["leave_in_queue"] = _UNTIL_FETCHED
    if spec.container:
        lines["container_image"] = _name(spec.container, "the image")
    if spec.input_files:
        lines["transfer_input_files"] = _list(_input(name) for name in spec.input_files)
    if spec.output_files is not None:
        # An empty value would count as none given, which means every new file.
        lines["transfer_output_files"] = (
            _list(_file_name(name, "an output file") for name in spec.output_files) or '""'
        )
    lines.update(_resources(spec))
    if spec.retries:
        codes = ", ".join(map(str, spec.final_codes))
        lines["on_exit_remove"] = (
            f"(ExitBySignal =?= false && member(ExitCode, {{{codes}}})) || NumJobCompletions > {spec.retries}"
        )
    for name, value in spec.attributes.items():
        lines[f"MY.{_identifier(name)}"] = _classad_string(value, f"the attribute {name}")
    if spec.batch_name:
        lines["MY.JobBatchName"] = _classad_string(spec.batch_name, "the batch name")
    lines.update(_extra(spec.extra))

    items = []
    for task in tasks:
        item = {"task": _task_name(task.name)}
        if own_arguments:
            own = spec.arguments if task.arguments is None else task.arguments
            item[_ARGUMENTS] = quote_arguments(own)
        if own_environment:
            item[_ENVIRONMENT] = quote_environment(
                spec.environment if task.environment is None else task.environment
            )
        if own_folder:
            item[_FOLDER] = path(task.folder or spec.folder, "a task's folder")
        items.append(item)
    return lines, items


def late(description: Mapping[str, str], procs: int, max_idle: int) -> dict[str, str]:
    """A submit description with late materialization, where there are more procs than may be idle at a time.

    One that says itself how many of its procs are to be in the queue is left as it is.

    Parameters
    ----------
    max_idle:
        0: as many as there are.
    """
    said = _LATE & {name.lower() for name in description}
    more = {"max_idle": str(max_idle)} if 0 < max_idle < procs and not said else {}
    return {**description, **more}


def quote_arguments(arguments: Iterable[str]) -> str:
    """Arguments in HTCondor's "new" syntax: each arrives exactly as given, an empty one too."""
    return '"' + " ".join(_quote(text, "an argument") for text in arguments) + '"'


def quote_environment(environment: Mapping[str, str]) -> str:
    """Environment variables in HTCondor's "new" syntax."""
    for name in environment:
        if not name or "=" in name or not name.isprintable() or " " in name:
            raise SubmitRefused(f"{name!r} can't be the name of an environment variable.", "Rename it.")
    return quote_arguments(f"{name}={value}" for name, value in environment.items())


def protect(text: str, what: str) -> str:
    """Text that must reach the job as it is, safe from macro expansion; for arguments and values.

    `what` names the text in the error.
    """
    _one_line(text, what)
    if _DOLLAR_MACRO.search(text):
        raise SubmitRefused(
            f"{_sentence(what)} contains $(DOLLAR), which HTCondor would turn into a $: {text!r}",
            "Pass it in a file.",
        )
    # $$ is looked at when the job is matched, and has its own way to be said.
    return "$$(DOLLARDOLLAR)".join(part.replace("$", "$(DOLLAR)") for part in text.split("$$"))


def path(text: str, what: str) -> str:
    """An absolute path as a submit description's value; `what` names it in the error."""
    if not text.startswith("/"):
        raise SubmitRefused(f"{_sentence(what)} needs an absolute path, not {text!r}.", "")
    return _name(text, what)


def _name(text: str, what: str) -> str:
    # Unlike arguments, file names are used before a match too, where $$ means nothing yet.
    _one_line(text, what)
    if "$$" in text or _DOLLAR_MACRO.search(text):
        raise SubmitRefused(
            f"{_sentence(what)} has a $$ or $(DOLLAR) in its name, which HTCondor would replace: {text!r}",
            "Rename it.",
        )
    if text != text.strip() or text.endswith("\\"):
        raise SubmitRefused(
            f"{_sentence(what)} begins or ends with a space, or ends with a backslash, which a "
            f"submit description cannot say: {text!r}",
            "Rename it.",
        )
    return text.replace("$", "$(DOLLAR)")


def _input(text: str) -> str:
    return _name(text, "a URL") if is_url(text) else path(text, "an input file")


def _file_name(text: str, what: str) -> str:
    if not text or text.startswith("/") or ".." in text.split("/"):
        raise SubmitRefused(f"{_sentence(what)} must be a name within the job's folder, not {text!r}.", "")
    return _with_task(_name(text, what))


def _list(names: Iterable[str]) -> str:
    names = list(names)
    for name in names:
        if "," in name:
            raise SubmitRefused(
                f"HTCondor cannot transfer a file with a comma in its path: {name!r}",
                "Rename the file or folder, or move it.",
            )
    return ", ".join(names)


def _quote(text: str, what: str) -> str:
    return "'" + _with_task(protect(text.replace("'", "''").replace('"', '""'), what)) + "'"


def _with_task(text: str) -> str:
    return text.replace(TASK, "$(task)")


def _task_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise SubmitRefused(f"A task can't be named {name!r}.", "Use letters, digits, . - _")
    return name


def _resources(spec: JobSpec) -> dict[str, str]:
    lines = {
        "request_memory": spec.memory,
        "request_cpus": spec.cpus,
        "request_gpus": spec.gpus,
        # HTCondor counts disk in KB.
        "request_disk": None if spec.disk is None else spec.disk * 1024,
        "allowed_job_duration": spec.max_runtime,
    }
    for name, number in lines.items():
        if number is not None and number < (0 if name == "request_gpus" else 1):
            raise SubmitRefused(f"{name} can't be {number}.", "Give a number of at least 1.")
    text = {
        "requirements": spec.requirements,
        "rank": spec.rank,
        "accounting_group": spec.accounting_group,
    }
    for name, value in text.items():
        _one_line(value, name)
    numbers = {name: str(number) for name, number in lines.items() if number is not None}
    return numbers | {name: value for name, value in text.items() if value}


def _extra(extra: Mapping[str, str]) -> dict[str, str]:
    for name, value in extra.items():
        if not _EXTRA_NAME.match(name):
            raise SubmitRefused(f"{name!r} isn't a submit command.", "")
        if name.lower() in _RESERVED:
            raise SubmitRefused(
                f"The submit command {name} can't be given as an extra one.",
                "It has a field of its own, or the backend relies on its value.",
            )
        _one_line(value, f"the submit command {name}")
        if value.rstrip().endswith("\\"):
            raise SubmitRefused(f"The submit command {name} ends with a backslash.", "")
    return dict(extra)


def _identifier(name: str) -> str:
    if not _IDENTIFIER.match(name):
        raise SubmitRefused(f"{name!r} can't be an attribute of a job.", "Use letters and digits.")
    return name


def _classad_string(text: str, what: str) -> str:
    if "$$" in text:
        raise SubmitRefused(f"{_sentence(what)} contains $$: {text!r}", "")
    return '"' + protect(text.replace("\\", "\\\\").replace('"', '\\"'), what) + '"'


def _one_line(text: str, what: str) -> None:
    bad = next((char for char in "\n\r\0\x1f" if char in text), None)
    if bad is not None:
        raise SubmitRefused(
            f"{_sentence(what)} contains {bad!r}, which a submit description cannot say: {text!r}",
            "Pass it in a file.",
        )


def _sentence(what: str) -> str:
    return what[:1].upper() + what[1:]
