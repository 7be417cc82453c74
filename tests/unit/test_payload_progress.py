"""A cell's progress: told by itself, or by tqdm's bars."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_payload_harness import run_cell


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
