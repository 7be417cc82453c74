"""Environment variables, import path and folder, as the notebook has them.

The rule for environment variables: the notebook's win, and what the worker has besides stays.
Except:

- what the batch system says about the job (``_CONDOR_…``, ``SLURM_…``) is the worker's alone;
- what a worker says about itself and the user's rights there (scratch folder, devices, threads,
  proxies, tickets) is the worker's where it says something, else the notebook's;
- ``HOME`` and ``TMPDIR`` are the notebook's only where they name a folder.

Some variables count only when a program starts (``LD_LIBRARY_PATH``): if one of them has changed,
and the interpreter is the notebook's own, the payload starts itself again with them.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from .job import Job
from .pickling import DependencyError, import_cloudpickle

#: The worker's alone. (Here and below, a name that ends in "_" stands for all that begin with it.)
_BATCH = (
    "_CONDOR_", "CONDOR_", "BATCH_SYSTEM", "SLURM_", "SLURMD_", "LSB_", "LSF_", "LS_", "PBS_",
    "SGE_", "JOB_ID", "JOB_NAME", "QUEUE", "NSLOTS", "PE_HOSTFILE", "GANGA_", "APPTAINER_",
    "SINGULARITY_", "HOSTNAME", "PWD", "OLDPWD", "SHLVL", "PYTHONHOME",
)  # fmt: skip
#: The worker's where it says something.
_WORKER = (
    "TMPDIR", "TEMP", "TMP", "XDG_RUNTIME_DIR", "X509_", "KRB5CCNAME", "KRB5_",
    "BEARER_TOKEN", "BEARER_TOKEN_FILE",
    "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES",
    "OMP_", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "ROOT_MAX_THREADS",
    "TF_NUM_THREADS", "TF_LOOP_PARALLEL_ITERATIONS", "JULIA_NUM_THREADS", "GOMAXPROCS", "CUBACORES",
    "PYTHON_CPU_COUNT",
)  # fmt: skip
#: The notebook's only where they name a folder.
_FOLDERS = ("HOME", "TMPDIR", "TEMP", "TMP", "XDG_RUNTIME_DIR")
#: Those that count only when a program starts.
_AT_START = (
    "LD_", "DYLD_", "LC_", "LANG", "LANGUAGE", "MALLOC_", "GLIBC_TUNABLES", "PYTHONHASHSEED",
    "PYTHONUTF8", "PYTHONMALLOC", "PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONOPTIMIZE",
)  # fmt: skip
_RESTARTED = "_GANGA_KERNEL_RESTARTED"


def merge(worker: dict[str, str], notebook: dict[str, str]) -> dict[str, str]:
    """The environment variables of the cell, by the rule above."""
    merged = dict(worker)
    for name, value in notebook.items():
        if _among(name, _BATCH) or (_among(name, _WORKER) and name in worker):
            continue
        if name in _FOLDERS and not Path(value).is_dir():
            continue
        merged[name] = value
    return merged


def _among(name: str, rules: tuple[str, ...]) -> bool:
    return any(name == rule or (rule[-1] == "_" and name.startswith(rule)) for rule in rules)


def restore_variables(job: Job) -> None:
    """Set the environment variables; this may start the payload again, in the same process."""
    merged = merge(dict(os.environ), job.environ)
    restarted = merged.pop(_RESTARTED, None) is not None
    changed = {n for n in merged if _among(n, _AT_START) and os.environ.get(n) != merged[n]}
    if changed and not restarted and is_notebooks_interpreter(job):
        arguments = getattr(sys, "orig_argv", None) or [sys.executable, *sys.argv]
        os.execve(sys.executable, arguments, {**merged, _RESTARTED: "1"})
    os.environ.pop(_RESTARTED, None)
    os.environ.update(merged)


def is_notebooks_interpreter(job: Job) -> bool:
    """Whether the interpreter that runs here is the notebook's, or a virtual environment's link to
    it."""
    return os.path.realpath(sys.executable) == os.path.realpath(job.python)


def restore_import_path(job: Job, archive: str | None) -> None:
    """Set ``sys.path``: the notebook's, in its order, as far as it is there; then what else there
    is here.

    Another interpreter keeps its own standard library, in front.

    Parameters
    ----------
    archive: the payload's own archive, which must not stand in the way of the user's modules
    """
    own = [entry for entry in sys.path if entry and entry != archive]
    wanted = [entry for entry in job.sys_path if entry == "" or Path(entry).exists()]
    if "" not in wanted:
        wanted.insert(0, "")
    if not is_notebooks_interpreter(job):
        library = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
        first = [entry for entry in own if _is_library(entry) or entry in library]
        wanted = [""] + first + [entry for entry in wanted if entry and not _is_library(entry)]
    sys.path[:] = list(dict.fromkeys([*wanted, *own]))


def _is_library(entry: str) -> bool:
    """Whether an entry looks like a part of an interpreter's standard library."""
    path = Path(entry)
    version = "python{}.{}".format(*sys.version_info[:2])
    return (
        path.name == "lib-dynload"
        or path.name == "python{}{}.zip".format(*sys.version_info[:2])
        or (path.name == version and (path / "os.py").exists())
    )


def add_cloudpickle(archive: str | None) -> str | None:
    """Make cloudpickle importable: the environment's own, else the one in the archive.

    The archive's comes last on the import path, or first if it must hide one that is too old.
    Returns a sentence if it is used.
    """
    try:
        import_cloudpickle()
    except DependencyError as error:
        if archive is None:
            return str(error)
    else:
        return None
    vendor = os.path.join(archive, "vendor")
    loaded = [name for name in sys.modules if name.partition(".")[0] == "cloudpickle"]
    if not loaded:
        sys.path.append(vendor)
        return "cloudpickle isn't installed here, so the job's own copy is used."
    for name in loaded:
        del sys.modules[name]
    sys.path.insert(0, vendor)
    return "The cloudpickle that is installed here is too old, so the job's own copy is used."
