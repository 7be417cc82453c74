"""The command ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from . import batch, dataflow, ordinary, packing, panels, phases, report, scale, small
from .figures import Section
from .pool import NoPool, Pool, our_pool, running_pool
from .site import make_site


@dataclass(frozen=True)
class Place:
    """Where to measure, and how long.

    Attributes
    ----------
    environment: variables that lead to the HTCondor pool; empty if there is none
    backends: those that batch cells are sent to
    quick: whether fewer samples will do
    """

    environment: dict[str, str]
    backends: list[str]
    quick: bool


def main() -> int:
    """Measure, print, and return 0; 1 if a section could not be measured to its end, and the others were."""
    options = _options()
    with ExitStack() as stack:
        pool = _pool(stack) if _ON_CONDOR & {*options.sections} else None
        environment = pool.environment if pool else {}
        os.environ.update(environment)
        about = report.machine(_daemons() if pool else "not measured", pool.whose if pool else "")
        place = Place(environment, ["HTCondor", "Local"] if pool else ["Local"], options.quick)
        sections: list[Section] = []
        failed = [name for name in options.sections if not _measured(_SECTIONS[name](place), sections)]
    print(report.as_markdown(about, sections) if options.markdown else report.as_text(about, sections))
    if options.json:
        report.write(options.json, json.dumps(report.as_json(about, sections), indent=1))
    for name in failed:
        _say(f"{name} failed; its traceback is above")
    return int(bool(failed))


def _measured(measuring: Iterator[Section], sections: list[Section]) -> bool:
    """Add what is measured, one after the other; whether that came to its end."""
    try:
        for section in measuring:
            sections.append(section)
    except Exception:  # noqa: BLE001 (half an hour of other figures is worth keeping)
        traceback.print_exc()
        return False
    return True


def _ordinary(place: Place) -> Iterator[Section]:
    _say("ordinary cells")
    with make_site(place.environment) as site:
        yield ordinary.measure(site, place.quick)


def _panels(place: Place) -> Iterator[Section]:
    _say("ordinary cells beside panels that are redrawn")
    with make_site(place.environment, local_slots=panels.JOBS) as site:
        yield panels.measure(site, place.quick)


def _batch(place: Place) -> Iterator[Section]:
    _say("batch cells, warm")
    with make_site(place.environment) as site:
        if "HTCondor" in place.backends:
            yield from batch.warm(site, place.quick)
        else:
            yield batch.warm_local(site, place.quick)


def _cold(place: Place) -> Iterator[Section]:
    _say("batch cells, cold")
    yield batch.cold(place.environment, place.backends, place.quick)


def _phases(place: Place) -> Iterator[Section]:
    for backend in place.backends:
        _say(f"where the time goes on {backend}")
        with make_site(place.environment) as site:
            yield phases.measure(site, backend, place.quick)


def _dataflow(place: Place) -> Iterator[Section]:
    if "HTCondor" in place.backends:
        _say("Run All on HTCondor")
        with make_site(place.environment) as site:
            yield dataflow.run_all(site, place.quick)
    _say("names to a batch cell and back")
    with make_site(place.environment) as site:
        yield dataflow.data(site, place.quick)


def _small(place: Place) -> Iterator[Section]:
    if "HTCondor" in place.backends:
        _say("a map of small items")
        with make_site(place.environment) as site:
            yield small.measure(site, place.quick)


def _packing(place: Place) -> Iterator[Section]:
    _say("a packed environment")
    yield packing.measure(place.quick)


def _scale(place: Place) -> Iterator[Section]:
    _say("a map of many tasks")
    settings = {"idle_pause": 0.0}
    try:
        with our_pool(scale.SLOTS) as pool:
            with (
                make_site(pool.environment, **settings) as late,
                make_site(pool.environment, max_idle=0, **settings) as at_once,
            ):
                yield scale.queue(late, at_once, place.quick)
            with make_site(pool.environment, **settings) as site:
                yield scale.run(site, place.quick)
    except NoPool as error:
        _say(f"it is not measured: {error}")


#: What can be chosen on the command line, in the order of a whole run.
_SECTIONS: dict[str, Callable[[Place], Iterator[Section]]] = {
    "ordinary": _ordinary, "panels": _panels, "batch": _batch, "cold": _cold, "phases": _phases,
    "dataflow": _dataflow, "small": _small, "packing": _packing, "scale": _scale,
}  # fmt: skip
#: Those that need the HTCondor pool.
_ON_CONDOR = {"batch", "cold", "phases", "dataflow", "small"}


def _pool(stack: ExitStack) -> Pool | None:
    _say("the HTCondor pool")
    try:
        return stack.enter_context(running_pool())
    except NoPool as error:
        _say(f"HTCondor is not measured: {error}")
        return None


def _daemons() -> str:
    from ganga_kernel.condor.schedd import Schedd

    return Schedd().versions()["daemon"]


def _say(what: str) -> None:
    """Progress, apart from the figures."""
    print(f"... {what}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measures ganga-kernel beside the bare thing, in one run."
    )
    parser.add_argument(
        "sections", nargs="*", type=_section, default=list(_SECTIONS), metavar="SECTION",
        help=f"what to measure, of {', '.join(_SECTIONS)}; by default everything",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="fewer samples: a look in place of a figure")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples to a file, too")
    return parser.parse_args()


def _section(name: str) -> str:
    if name not in _SECTIONS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(_SECTIONS)}")
    return name


if __name__ == "__main__":
    sys.exit(main())
