"""Ordinary cells beside plain ipykernel: both kernels live in the same run, and samples alternate."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

from .client import GANGA, PLAIN, Kernel, kernel, megabytes
from .figures import Figure, Section
from .site import Site

_LINES = "for i in range(20_000): print('line', i)"
_VERSUS = "plain ipykernel"
_AIM = "1.05 x"


@dataclass
class Pair:
    """Samples of one thing: ours, and plain ipykernel's."""

    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    def of(self, command: list[str]) -> list[float]:
        """The samples of the kernel that a command starts."""
        return self.ours if command is GANGA else self.bare


def measure(site: Site, quick: bool) -> Section:
    """Launch, memory, round trip and output of ordinary cells."""
    launch, pss, rss = _launches(site, 3 if quick else 9)
    with kernel(PLAIN, site) as plain, kernel(GANGA, site) as ganga:
        _alternate(ganga, plain, "pass", 20)
        trip = _alternate(ganga, plain, "pass", 60 if quick else 500)
        lines = _alternate(ganga, plain, _LINES, 5 if quick else 25)
        broker = site.broker()
        serving = [megabytes(broker, "pss")] if broker else []
    figures = [
        Figure("round trip of `pass`", "ms", trip.ours, trip.bare, _VERSUS, _AIM),
        Figure("print of 20,000 lines, to idle", "ms", lines.ours, lines.bare, _VERSUS, _AIM),
        Figure("launch to first kernel_info reply", "ms", launch.ours, launch.bare, _VERSUS, _AIM),
        Figure("memory of a kernel, PSS", "MB", pss.ours, pss.bare, _VERSUS, "", "difference"),
        Figure("memory of a kernel, RSS", "MB", rss.ours, rss.bare, _VERSUS, "", "difference"),
        Figure("memory of the broker (one a user), PSS", "MB", serving),
    ]
    notes = [
        "A kernel is all its processes: the router's and the inner kernel's against one. "
        "PSS divides shared pages among those who share them."
    ]
    return Section("Ordinary cells", figures, notes)


def _launches(site: Site, rounds: int) -> tuple[Pair, Pair, Pair]:
    """Milliseconds to the first reply, and MB of PSS and RSS; the first round warms the disk's cache."""
    launch, pss, rss = Pair(), Pair(), Pair()
    for turn in range(rounds + 1):
        order = [PLAIN, GANGA] if turn % 2 else [GANGA, PLAIN]
        with ExitStack() as stack:
            alive = [(command, stack.enter_context(kernel(command, site))) for command in order]
            for command, one in alive:
                one.execute("pass")
                if turn:
                    launch.of(command).append(1000 * one.ready_after)
            if turn:
                for command, one in alive:
                    pss.of(command).append(one.memory("pss"))
                    rss.of(command).append(one.memory("rss"))
    return launch, pss, rss


def _alternate(ganga: Kernel, plain: Kernel, code: str, rounds: int) -> Pair:
    """Milliseconds of a cell; who goes first alternates, too."""
    found = Pair()
    both = [(ganga, found.ours), (plain, found.bare)]
    for _ in range(rounds):
        for one, samples in both:
            samples.append(1000 * one.execute(code).took)
        both.reverse()
    return found
