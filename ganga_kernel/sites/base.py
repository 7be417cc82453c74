"""What a site may allow and ask for."""

from __future__ import annotations

from typing import Any

from traitlets import Dict, Integer, Unicode
from traitlets.config import Configurable


class Site(Configurable):
    """A site's HTCondor pool; by default nothing is limited, and nothing asked for."""

    flavours = Dict(
        value_trait=Integer(),
        help="Seconds that a run of a job may take, by the job's attribute JobFlavour; a number in its "
        "attribute MaxRuntime counts in their place.",
    ).tag(config=True)
    flavour = Unicode(help="The JobFlavour of a job that names none, or an unknown one.").tag(config=True)
    restarts = Integer(
        None, allow_none=True, help="How often a job is started anew before it is removed."
    ).tag(config=True)
    held = Integer(None, allow_none=True, help="Seconds after which a job on hold is deleted.").tag(
        config=True
    )
    transfer = Integer(None, allow_none=True, help="Bytes of files that a task is sent, at most.").tag(
        config=True
    )
    spooled_tasks = Integer(
        None, allow_none=True, help="Tasks of one submission whose files are spooled, at most."
    ).tag(config=True)
    spooled_queue = Integer(
        None,
        allow_none=True,
        help="Jobs of a user in the queue of a schedd to which files are spooled, at most.",
    ).tag(config=True)
    commands = Dict(
        value_trait=Unicode(),
        help="Submit commands of each job, unless it sets them itself: {'MY.SendCredential': 'true'}.",
    ).tag(config=True)

    def known(self) -> dict[str, Any]:
        """All of it as plain data, to be stored with a job."""
        return {name: getattr(self, name) for name in Site.class_own_traits(config=True)}
