"""A cell's progress: told by itself, or by tqdm's bars."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from test_payload_harness import run_cell

from ganga_kernel import progress


@pytest.mark.parametrize(
    "source",
    [
        "from ganga_kernel import progress\nfor i in range(1000): progress(i + 1, 1000)",
        "from tqdm import tqdm\nfor i in tqdm(range(1000)): pass",
        "from tqdm.auto import tqdm\nfor i in tqdm(range(1000)):\n    for j in tqdm(range(2)): pass",
        "from tqdm.notebook import tqdm\nfor i in tqdm(range(1000)): pass",
    ],
)
def test_the_last_progress_comes_and_few_before_it(tmp_path: Path, source: str) -> None:
    result = run_cell(tmp_path, source)
    told = [(e["done"], e["total"]) for e in result.events if e["event"] == "progress"]
    assert told[-1] == (1000, 1000) and len(told) < 20
    assert {kind for kind, _ in result.shown()} <= {"stderr"}


def test_a_bar_that_counts_in_something_else_runs_as_ever(tmp_path: Path) -> None:
    source = (
        "from tqdm import tqdm\n"
        "odd = tqdm()\nodd.display = lambda *_, **__: None\n"
        "odd.n = 'some'\nodd.refresh()\nodd.n = 0\nodd.close()\n"
        "with tqdm(total=float('inf')) as endless: endless.update(3)"
    )
    result = run_cell(tmp_path, source)
    told = [(e["done"], e["total"]) for e in result.events if e["event"] == "progress"]
    assert result.events[-1]["status"] == "ok" and told[-1] == (3, None)


@pytest.mark.parametrize(("done", "total"), [("3", 4), (1, [2]), (None, 1)])
def test_what_is_no_number_is_refused_wherever_the_cell_runs(done: Any, total: Any) -> None:
    with pytest.raises(TypeError, match="must be a number"):
        progress(done, total)


@pytest.mark.parametrize(("done", "total"), [(math.nan, 4), (math.inf, 1), (1, 10**400), (1, -math.inf)])
def test_what_is_not_finite_is_refused_but_for_a_total_that_nobody_knows(done: Any, total: Any) -> None:
    with pytest.raises(ValueError, match="finite"):
        progress(done, total)
    progress(Fraction(1, 2), math.inf)


def test_where_the_package_is_not_installed_progress_can_be_imported_too() -> None:
    root = Path(__file__).parents[2] / "ganga_kernel"
    code = (
        "import sys, types\npackage = types.ModuleType('_ganga_kernel')\n"
        f"package.__path__ = [{str(root)!r}]\nsys.modules['_ganga_kernel'] = package\n"
        "from _ganga_kernel.payload import progress as ours\nours.provide()\n"
        "from ganga_kernel import progress\nprogress(1, 2)\nimport pickle\n"
        "assert pickle.loads(pickle.dumps(progress)) is progress is ours.progress"
    )
    subprocess.run([sys.executable, "-ISc", code], check=True)
