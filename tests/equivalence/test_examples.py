"""The example notebook, in each of the places where the other notebooks are played."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.harness import Kernel
from tests.notebooks import panel, run

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(kernel: Kernel, example: Path) -> None:
    notebook = Path(shutil.copy(example, kernel.site.root / example.name))
    ran = run(kernel.site, notebook, "--kernel", kernel.manager.kernel_name)
    assert ran.exit_code == 0, ran.said
    batch = [cell for cell in ran.cells if "batch" in cell.metadata.get("tags", [])]
    assert batch and all(": done (" in panel(cell) for cell in batch)
