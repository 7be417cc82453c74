"""URLs that a job is to have fetched: whether the pool can."""

from __future__ import annotations

import logging

from ..errors import SubmitRefused
from .asking import ask

log = logging.getLogger(__name__)


async def check(urls: list[str]) -> None:
    """See that some slot of the pool can fetch each of these URLs, where that can be known.

    Raises
    ------
    SubmitRefused: none can fetch one of them.
    """
    if not urls:
        return
    try:
        known = await ask("plugins", None)
    except (OSError, ValueError) as problem:  # HTCondor says itself why a job waits
        log.info("what the slots can fetch: %s", problem)
        return
    for url in urls:
        scheme = url.partition("://")[0].lower()
        if known and scheme not in known:
            raise SubmitRefused(
                f"No slot of the pool can fetch {url}: they know {', '.join(known)}.",
                "Download it, and name the file with --input.",
            )
