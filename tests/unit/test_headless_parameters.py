"""Parameters of ``ganga-kernel run``: values from the command line, and the cell that holds them."""

from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ganga_kernel.headless import parameters


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("x=5", "5"), ("x=-1.5e3", "-1500.0"), ("x=true", "True"), ("x=False", "False"), ("x=null", "None"),
        ("x=None", "None"), ("x=word", "'word'"), ("x=two words", "'two words'"), ("x='5'", "'5'"),
        ('x="5"', "'5'"), ("x=", "''"), ("x=a=b", "'a=b'"), ("x=[1, true]", "[1, True]"),
        ("x=(1, 'a')", "(1, 'a')"), ('x={"a": null}', "{'a': None}"), ("x=2024-10-11", "'2024-10-11'"),
        ("x=NaN", "'NaN'"), ("x=1e999", "'1e999'"), ("x=__import__('os')", '"__import__(\'os\')"'),
        ("x=/data/run-7", "'/data/run-7'"), ("x={[]: 1}", "'{[]: 1}'"),
    ],
)  # fmt: skip
def test_a_value_is_json_or_a_literal_or_a_string(text: str, source: str) -> None:
    assert parameters.parse(text) == ("x", source)


@given(st.text())
def test_any_value_becomes_a_literal(value: str) -> None:
    name, source = parameters.parse(f"x={value}")
    compile(f"{name} = {source}", "cell", "exec")


@pytest.mark.parametrize("text", ["x", "=1", "a b=1", "1x=1", "for=1", "x.y=1"])
def test_what_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parameters.parse(text)


def _sources(*cells: object) -> list[str]:
    notebook = new_notebook(cells=list(cells))
    parameters.insert(notebook, {"x": "1", "y": "'a'"})
    return [cell.source for cell in notebook.cells]


def test_the_cell_stands_behind_the_defaults_or_at_the_top() -> None:
    defaults = new_code_cell("defaults", metadata={"tags": ["parameters"]})
    injected = new_code_cell("earlier", metadata={"tags": ["injected-parameters"]})
    text, last = new_markdown_cell("text"), new_code_cell("last")
    ours = "x = 1\ny = 'a'"
    assert _sources(text, defaults, last) == ["text", "defaults", ours, "last"]
    assert _sources(text, last) == [ours, "text", "last"]
    assert _sources(text, defaults, last, injected) == ["text", "defaults", "last", ours]


def test_without_parameters_nothing_is_put_there() -> None:
    notebook = new_notebook(cells=[new_code_cell("1")])
    parameters.insert(notebook, {})
    assert len(notebook.cells) == 1
