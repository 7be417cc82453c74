"""CERN's pool, by its batch documentation (https://batchdocs.web.cern.ch)."""

from __future__ import annotations

from traitlets import default

from .base import Site

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class Cern(Site):
    """The pool that lxplus submits to."""

    @default("flavours")
    def _flavours(self) -> dict[str, int]:
        return {
            "espresso": 20 * _MINUTE, "microcentury": _HOUR, "longlunch": 2 * _HOUR, "workday": 8 * _HOUR,
            "tomorrow": _DAY, "testmatch": 3 * _DAY, "nextweek": 7 * _DAY,
        }  # fmt: skip

    @default("flavour")
    def _flavour(self) -> str:
        return "espresso"

    @default("restarts")
    def _restarts(self) -> int:
        return 10

    @default("held")
    def _held(self) -> int:
        return _DAY

    @default("transfer")
    def _transfer(self) -> int:
        return 2**30

    @default("spooled_tasks")
    def _spooled_tasks(self) -> int:
        return 100

    @default("spooled_queue")
    def _spooled_queue(self) -> int:
        return 500

    @default("commands")
    def _commands(self) -> dict[str, str]:
        # The schedd hands the user's Kerberos credential to the worker, where AFS and EOS need it.
        return {"MY.SendCredential": "true"}
