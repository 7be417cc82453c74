"""``ganga-kernel run`` with what it can't run: a sentence, exit code 2, and nothing saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganga_kernel.__main__ import main
from tests.notebooks import code, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a good notebook and some others, and a kernel that doesn't start."""
    spec = tmp_path / "jupyter" / "kernels" / "broken"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "Broken"}')
    spec = tmp_path / "jupyter" / "kernels" / "missing"
    spec.mkdir()
    (spec / "kernel.json").write_text('{"argv": ["/nowhere/python"], "display_name": "Missing"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "good.ipynb", code("1"))
    (tmp_path / "text").write_text("# hello")
    (tmp_path / "binary").write_bytes(b"\x89PNG")
    (tmp_path / "list").write_text("[]")
    (tmp_path / "object").write_text('{"nbformat": 4}')
    (tmp_path / "future").write_text('{"nbformat": 9, "cells": []}')
    (tmp_path / "half").write_text('{"nbformat": 4, "cells": [{}]}')
    return tmp_path


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("none -o out", "none can't be read: No such file"),
        ("jupyter -o out", "jupyter can't be read: Is a directory"),
        ("text -o out", "text can't be read as a notebook"),
        ("binary -o out", "binary can't be read as a notebook"),
        ("list -o out", "list can't be read as a notebook: it holds no cells"),
        ("object -o out", "object can't be read as a notebook: it holds no cells"),
        ("future -o out", "future can't be read as a notebook"),
        ("half -o out", "half can't be read as a notebook"),
        ("good.ipynb -o none/out", "can't be saved as none/out"),
        ("good.ipynb -o jupyter", "can't be saved as jupyter"),
        ("good.ipynb -o out -p size", "NAME=VALUE"),
        ("good.ipynb -o out -p for=1", "'for' can't be the name of a variable"),
        ("good.ipynb -o out --kernel none", "There is no kernel 'none'.\nChoose with --kernel: broken"),
        ("good.ipynb -o out --kernel missing", "The kernel 'missing' can't be started: "),
        ("good.ipynb -o out --kernel broken", "The kernel 'broken' ended as soon as it was started"),
        ("good.ipynb", "-o"),
    ],
)
def test_what_can_t_be_run(folder: Path, capfd: pytest.CaptureFixture[str], line: str, words: str) -> None:
    try:
        exit_code = main(["run", *line.split()])
    except SystemExit as end:  # argparse's own way
        assert isinstance(end.code, int)
        exit_code = end.code
    said = capfd.readouterr().err
    assert exit_code == 2 and words in said and "Traceback" not in said
    assert not (folder / "out").exists()
