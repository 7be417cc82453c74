"""Whose cell is it?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganga_kernel import magics, routing
from ganga_kernel.notebook import Notebook
from ganga_kernel.routing import BatchCell, MagicCell, route
from ganga_kernel.settings import GangaKernel


@pytest.mark.parametrize(
    ("code", "metadata"),
    [
        ("x = 1", {}),
        ("", {}),
        ("x = '%%batch'", {}),
        ("x = 1\n%%batch", {}),
        ("%%batches\n1", {}),
        ("%%time\n%%batch", {}),
        ("%killbgscripts", {}),
        ("%%jobs\n", {}),
        ("x = %jobs", {}),
        ("# batch", {}),
        ("x = 1\n#| tags: [batch]", {}),
        ("#| tags: [batches]", {}),
        ("1", {"tags": ["batches", "debatch"]}),
        ("1", {"tags": "batch"}),
        ("1", {"tags": [1, None]}),
        ("1", {"batch": {"memory": "1GB"}}),
    ],
)
def test_ordinary_cells(code: str, metadata: dict[str, object]) -> None:
    assert route(code, metadata) is None


def test_the_magic_line_is_blanked_so_that_line_numbers_hold() -> None:
    assert route("\n%%batch --cpus 2\na\nb", {}) == BatchCell("\n\na\nb", "--cpus 2")


def test_options_come_with_tags_and_metadata() -> None:
    cell = route("x", {"tags": ["batch:memory=4GB", "batch:wait", "other"], "batch": {"cpus": 2}})
    assert cell == BatchCell("x", "", {"memory": "4GB", "wait": ""}, {"cpus": 2})


def test_a_tag_and_a_magic_line_together() -> None:
    cell = route("%%batch --cpus 2\nx", {"tags": ["batch:memory=4GB"]})
    assert cell == BatchCell("\nx", "--cpus 2", {"memory": "4GB"})


@pytest.mark.parametrize("line", ["#| tags: [a, batch]", "#| tags: batch", '# %% title tags=["batch", "b"]'])
def test_tags_in_the_source(line: str) -> None:
    assert isinstance(route(f"# a comment\n{line}\nx = 1", {}), BatchCell)


@pytest.mark.parametrize(
    ("code", "cell"),
    [
        ("%kill 3", MagicCell("kill")),
        ("  %jobs", MagicCell("jobs")),
        ("%batch --cpus 2", MagicCell("batch")),
        ("%batch?", MagicCell("batch", help=True)),
        ("%%batch??", MagicCell("batch", help=True)),
    ],
)
def test_magics(code: str, cell: MagicCell) -> None:
    assert route(code, {}) == cell


def test_a_batch_cell_that_ends_in_a_question_is_no_call_for_help() -> None:
    assert route("%%batch\nx = 1  # really?", {}) == BatchCell("\nx = 1  # really?")


@given(st.text(), st.dictionaries(st.text(), st.none() | st.text() | st.lists(st.text())))
def test_any_text_and_any_metadata_are_routed(code: str, metadata: dict[str, object]) -> None:
    route(code, metadata)


def test_each_magic_is_routed_here() -> None:
    assert sorted(magic.name for magic in magics.MAGICS) == sorted(routing.MAGICS)


def test_the_router_may_ask_what_is_pending_before_the_notebook_has_joined() -> None:
    assert not Notebook(GangaKernel()).closed
