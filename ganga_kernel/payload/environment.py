"""Environment variables, import path and folder, as the notebook has them.

The rule for environment variables: the notebook's win, and what the worker has besides stays.
Except:

- what the batch system says about the job (``_CONDOR_…``, ``SLURM_…``) is the worker's alone;
- what a worker says about itself and the user's rights there (scratch folder, devices, threads,
  proxies, tickets) is the worker's where it says something, else the notebook's;
- ``HOME`` and ``TMPDIR`` are the notebook's only where they name a folder;
- what the setup of the job (``--setup``) has set, changed or removed is as it left it;
- where another environment than the notebook's runs the cell, what says where programs and libraries are is
  the worker's.

Some variables count only when a program starts (``LD_LIBRARY_PATH``): if one of them has changed,
and the interpreter is the notebook's own, the payload starts itself again with them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from . import packages
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
#: The worker's where the cell runs in another environment than the notebook's.
_PLACES = (
    "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "PYTHONUSERBASE",
    "VIRTUAL_ENV", "CONDA_", "ROOTSYS", "CPATH", "LIBRARY_PATH", "PKG_CONFIG_PATH", "MANPATH",
    "CMAKE_PREFIX_PATH",
)  # fmt: skip
#: Those that count only when a program starts.
_AT_START = (
    "LD_", "DYLD_", "LC_", "LANG", "LANGUAGE", "MALLOC_", "GLIBC_TUNABLES", "PYTHONHASHSEED",
    "PYTHONUTF8", "PYTHONMALLOC", "PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONOPTIMIZE",
)  # fmt: skip
_RESTARTED = "_GANGA_KERNEL_RESTARTED"
#: Names the file of the environment before the setup of the job; see `ganga_kernel.condor.launcher`.
_BEFORE = "_GANGA_KERNEL_BEFORE"


def merge(
    worker: dict[str, str], notebook: dict[str, str], before: dict[str, str], foreign: bool
) -> dict[str, str]:
    """The environment variables of the cell, by the rule above.

    Parameters
    ----------
    before: the worker's before the setup of the job; the same as `worker` if there was none
    foreign: whether the cell runs in another environment than the notebook's
    """
    merged = dict(worker)
    for name, value in notebook.items():
        if _among(name, _BATCH) or (_among(name, _WORKER) and name in worker):
            continue
        if before.get(name) != worker.get(name) or (foreign and _among(name, _PLACES)):
            continue
        if name in _FOLDERS and not Path(value).is_dir():
            continue
        merged[name] = value
    return merged


def _among(name: str, rules: tuple[str, ...]) -> bool:
    return any(name == rule or (rule[-1] == "_" and name.startswith(rule)) for rule in rules)


def restore_variables(job: Job) -> None:
    """Set the environment variables; this may start the payload again, in the same process."""
    restarted = os.environ.pop(_RESTARTED, None) is not None
    worker = dict(os.environ)
    notebooks = is_notebooks_environment(job)
    merged = worker if restarted else merge(worker, job.environ, _before_setup(worker), not notebooks)
    merged.pop(_BEFORE, None)
    changed = {n for n in merged if _among(n, _AT_START) and os.environ.get(n) != merged[n]}
    if changed and notebooks:
        arguments = getattr(sys, "orig_argv", None) or [sys.executable, *sys.argv]
        os.execve(sys.executable, arguments, {**merged, _RESTARTED: "1"})
    os.environ.pop(_BEFORE, None)
    os.environ.update(merged)


def _before_setup(worker: dict[str, str]) -> dict[str, str]:
    if _BEFORE not in worker:
        return worker
    pairs = Path(worker[_BEFORE]).read_bytes().split(b"\0")
    return dict(os.fsdecode(pair).split("=", 1) for pair in pairs if b"=" in pair)


def is_notebooks_environment(job: Job) -> bool:
    """Whether the interpreter that runs here is the notebook's, and of the same virtual environment."""
    return _environment(sys.executable) == _environment(job.python)


def _environment(python: str) -> str:
    """The folder of an interpreter's virtual environment, else the interpreter itself."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(python)))
    is_virtual = os.path.exists(os.path.join(folder, "pyvenv.cfg"))
    return os.path.realpath(folder if is_virtual else python)


def restore_import_path(job: Job, archive: str | None) -> None:
    """Set ``sys.path``: the notebook's, in its order, as far as it is there; then what else there
    is here.

    Another environment keeps its own standard library and packages, in front, and what is installed in the
    notebook's doesn't count.

    Parameters
    ----------
    archive: the payload's own archive, which must not stand in the way of the user's modules
    """
    own = [entry for entry in sys.path if entry and entry != archive]
    wanted = [entry for entry in job.sys_path if entry == "" or Path(entry).exists()]
    if "" not in wanted:
        wanted.insert(0, "")
    if not is_notebooks_environment(job):
        wanted = [entry for entry in wanted if entry and not _is_installed(entry)]
        wanted = ["", *own, *wanted]
    sys.path[:] = list(dict.fromkeys([*wanted, *own]))


def _is_installed(entry: str) -> bool:
    """Whether an entry looks like a part of an environment: its standard library, or its packages."""
    path = Path(entry)
    version = "python{}.{}".format(*sys.version_info[:2])
    return (
        path.name in ("lib-dynload", "site-packages", "dist-packages")
        or path.name == "python{}{}.zip".format(*sys.version_info[:2])
        or (path.name == version and (path / "os.py").exists())
    )


def differences(job: Job) -> list[str]:
    """Sentences on an environment that isn't the notebook's; see `packages`."""
    return [] if is_notebooks_environment(job) else packages.compared(job.packages)


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
