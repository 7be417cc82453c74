"""The command ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from . import batch, ordinary, phases, report
from .figures import Section
from .pool import NoPool, Pool, running_pool
from .site import make_site


def main() -> int:
    """Measure, print, and return 0."""
    options = _options()
    with ExitStack() as stack:
        pool = _pool(stack)
        environment = pool.environment if pool else {}
        os.environ.update(environment)
        about = report.machine(_daemons() if pool else "not measured", pool.whose if pool else "")
        sections = _measure(environment, pool is not None, options.quick)
    print(report.as_markdown(about, sections) if options.markdown else report.as_text(about, sections))
    if options.json:
        report.write(options.json, json.dumps(report.as_json(about, sections), indent=1))
    return 0


def _measure(environment: dict[str, str], condor: bool, quick: bool) -> list[Section]:
    backends = ["HTCondor", "Local"] if condor else ["Local"]
    with make_site(environment) as site:
        _say("ordinary cells")
        sections = [ordinary.measure(site, quick)]
    with make_site(environment) as site:
        _say("batch cells, warm")
        sections += batch.warm(site, quick) if condor else [batch.warm_local(site, quick)]
    _say("batch cells, cold")
    sections.append(batch.cold(environment, backends, quick))
    for backend in backends:
        _say(f"where the time goes on {backend}")
        with make_site(environment) as site:
            sections.append(phases.measure(site, backend, quick))
    return sections


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
    parser.add_argument("--quick", action="store_true", help="fewer samples: a look in place of a figure")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples to a file, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
