"""A pool of which nothing is known."""

from __future__ import annotations

from .base import Site


class Generic(Site):
    """Any site's HTCondor pool."""
