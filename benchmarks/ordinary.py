"""Ordinary cells beside plain ipykernel: both kernels live in the same run, and samples alternate."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from .client import GANGA, PLAIN, Kernel, kernel, megabytes
from .figures import Figure, Section
from .site import Site

_LINES = "for i in range({}): print('line', i)"
_DISPLAY = "display({'text/plain': 'x' * 50_000_000}, raw=True)"
_ECHO = """
def opened(comm, message):
    comm.on_msg(lambda message: comm.send(message['content']['data']))
get_ipython().kernel.comm_manager.register_target('echo', opened)
"""
_VERSUS = "plain ipykernel"
_AIM, _LAUNCH_AIM, _MEMORY_AIM = "1.05 x", "1.3 x", "70 MB"


@dataclass
class Pair:
    """Samples of one thing: ours, and plain ipykernel's."""

    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    def of(self, command: list[str]) -> list[float]:
        """The samples of the kernel that a command starts."""
        return self.ours if command is GANGA else self.bare


def measure(site: Site, quick: bool) -> Section:
    """Launch, memory, round trip and throughput of ordinary cells."""
    launch, pss, rss = _launches(site, 3 if quick else 15)
    with kernel(PLAIN, site) as plain, kernel(GANGA, site) as ganga:
        for one in (plain, ganga):
            one.execute(_ECHO)
            one.open_comm("echo", "echo")
        alternate(ganga, plain, trip, 20)
        trips = alternate(ganga, plain, trip, 60 if quick else 1000)
        lines = alternate(ganga, plain, _print(20_000), 5 if quick else 25)
        more_lines = alternate(ganga, plain, _print(100_000), 3 if quick else 15)
        display = alternate(ganga, plain, _big_display, 3 if quick else 15)
        comm = alternate(ganga, plain, _echoes, 3 if quick else 25)
        broker = site.broker()
        serving = [megabytes(broker, "pss")] if broker else []
    figures = [
        Figure("round trip of `pass`", "ms", trips.ours, trips.bare, _VERSUS, _AIM),
        Figure("print of 20,000 lines, to idle", "ms", lines.ours, lines.bare, _VERSUS, _AIM),
        Figure("print of 100,000 lines, to idle", "ms", more_lines.ours, more_lines.bare, _VERSUS, _AIM),
        Figure("display of 50 MB, to its arrival", "ms", display.ours, display.bare, _VERSUS, _AIM),
        Figure("1,000 comm messages, to the last echo", "ms", comm.ours, comm.bare, _VERSUS, _AIM),
        Figure("launch to first kernel_info reply", "ms", launch.ours, launch.bare, _VERSUS, _LAUNCH_AIM),
        Figure("memory of a kernel, PSS", "MB", pss.ours, pss.bare, _VERSUS, _MEMORY_AIM, "difference"),
        Figure("memory of a kernel, RSS", "MB", rss.ours, rss.bare, _VERSUS, _MEMORY_AIM, "difference"),
        Figure("memory of the broker (one a user), PSS", "MB", serving),
    ]
    notes = [
        "Comm messages are sent all at once; the kernel sends each one's data back.",
        "A kernel is all its processes: the router's and the inner kernel's against one. "
        "PSS divides shared pages among those who share them.",
    ]
    return Section("Ordinary cells", figures, notes)


def alternate(ganga: Kernel, plain: Kernel, sample: Callable[[Kernel], float], rounds: int) -> Pair:
    """Milliseconds of what `sample` does and times, on both in turn; who goes first alternates, too."""
    found = Pair()
    both = [(ganga, found.ours), (plain, found.bare)]
    for _ in range(rounds):
        for one, samples in both:
            one.catch_up()
            samples.append(1000 * sample(one))
        both.reverse()
    return found


def trip(one: Kernel) -> float:
    """Seconds of the shortest cell."""
    return one.execute("pass").took


def _print(lines: int) -> Callable[[Kernel], float]:
    code = _LINES.format(lines)
    return lambda one: one.execute(code).took


def _big_display(one: Kernel) -> float:
    cell = one.execute(_DISPLAY)
    arrived, _ = next(output for output in cell.outputs if output[1]["msg_type"] == "display_data")
    return arrived - cell.sent


def _echoes(one: Kernel) -> float:
    cells = [one.send_to_comm("echo", {"number": number}) for number in range(1000)]
    one.listen(lambda: cells[-1].idle)
    if not all(cell.outputs for cell in cells):
        raise RuntimeError("Comm messages weren't echoed.")
    return cells[-1].outputs[0][0] - cells[0].sent


def _launches(site: Site, rounds: int) -> tuple[Pair, Pair, Pair]:
    """Milliseconds to the first reply, and MB of PSS and RSS; the first round warms the disk's cache."""
    launch, pss, rss = Pair(), Pair(), Pair()
    for turn in range(rounds + 1):
        order = [PLAIN, GANGA] if turn % 2 else [GANGA, PLAIN]
        with ExitStack() as stack:
            alive = []
            for command in order:
                one = stack.enter_context(kernel(command, site))
                one.execute("pass")
                time.sleep(1)  # what a kernel loads after its first reply isn't the next one's delay
                alive.append((command, one))
                if turn:
                    launch.of(command).append(1000 * one.ready_after)
            if turn:
                for command, one in alive:
                    pss.of(command).append(one.memory("pss"))
                    rss.of(command).append(one.memory("rss"))
    return launch, pss, rss
