"""A Ganga backend named ``HTCondor``, on the current Python bindings (``htcondor2``).

Ganga loads it through its RUNTIME_PATH; `runtime_path` gives the value for gangarc. Importing this
package imports neither Ganga nor HTCondor.

    description   plain data in, submit description out (pure)
    eventlog      the event log as observations, and what they add up to
    schedd        the way to the schedd: submit, act, query, find, and errors with a remedy
    holds         what a hold means, and what to do (pure)
    interruptions what an eviction, a lost machine or a removal means (pure)
    idle          why a job waits in the queue: from ads to a sentence (pure)
    whyidle       asks the daemons for these ads, in a process of its own
    spooled       jobs whose files the schedd gets and keeps: sent, watched, fetched
    spooling      does that, in a process of its own
    launcher      the script that starts a payload on a worker
    backend       the Ganga plugin
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["loadPlugins", "runtime_path"]


def runtime_path() -> str:
    """The value of ``[Configuration] RUNTIME_PATH`` in gangarc that loads this plugin.

    An absolute path, which must hold no ``:`` (Ganga separates entries by it).
    """
    return str(Path(__file__).resolve().parent / "runtime" / "GangaKernelHTCondor")


def loadPlugins(config: object = None) -> None:
    """Register the backend; Ganga calls this while it is imported."""
    from ganga_kernel.condor import backend

    backend.register()
