"""Which names a cell changes, with the notebook's objects at hand."""

from __future__ import annotations

import linecache
import types
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ganga_kernel.bridge import names
from ganga_kernel.bridge.effects import effects
from ganga_kernel.bridge.placeholders import UNBOUND, Pending


def notebook(source: str) -> dict[str, Any]:
    """A namespace in which a cell has run, with its source where IPython keeps it."""
    filename = f"<cell {hash(source)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, filename, "exec"), namespace)
    return namespace


OBJECTS: dict[str, Any] = {
    "lst": [1, "a"], "nested": [[1], [2]], "dct": {"k": {"x": 1}}, "st": {1}, "text": "a b", "n": 1,
    "array": np.arange(4), "frame": pd.DataFrame({"a": [1]}), "rng": np.random.default_rng(1), "np": np,
    "model": types.SimpleNamespace(weights=[0]), "made": type("Model", (), {}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "mutated"),
    [
        ("lst.append(1)", "lst"), ("lst.count(1)", ""), ("lst[0].upper()", ""),
        ("nested[0].append(3)", "nested"),
        ("nested[0].copy()", ""), ("dct['k'].update(y=1)", "dct"), ("dct['k'].get('x')", ""),
        ("st.add(2)", "st"),
        ("st.union([3])", ""), ("text.split()", ""), ("n.bit_length()", ""), ("array.mean()", ""),
        ("array[1:].sum()", ""), ("array.sort()", "array"), ("array.T.fill(0)", "array"),
        ("frame.groupby('a').sum()", ""), ("frame.a.str.upper()", ""),
        ("frame.dropna(inplace=True)", "frame"),
        ("frame.insert(0, 'b', 1)", "frame"), ("rng.normal()", "rng"), ("np.sort(array)", ""), ("made()", ""),
        ("model.fit(array)", "model"), ("model.weights.append(1)", "model"), ("model.weights.count(0)", ""),
        ("[row.append(1) for row in nested]", ""), ("x = lst.pop()", "lst"), ("f'{lst.pop()}'", "lst"),
        ("lst += [1]", "lst"), ("lst[0] = 1", "lst"), ("del dct['k']", "dct"), ("model.weights = 1", "model"),
        ("lambda: lst.append(1)", "lst"), ("unknown.append(1)", ""),
        ("get_ipython().run_line_magic('time', '-n 3 lst.append(n)')", "lst"),
        ("get_ipython().run_cell_magic('capture', 'out', 'lst.append(n)\\n')", "lst"),
    ],
)  # fmt: skip
def test_what_a_cell_mutates(source: str, mutated: str) -> None:
    found = effects(names.analyse(source), dict(OBJECTS))
    assert found.mutates == frozenset(mutated.split())


def test_what_the_notebook_s_functions_change_counts() -> None:
    space = notebook(
        "results, count, log = [], 0, []\n"
        "def note(x):\n    local = []\n    local.append(x)\n    results.append(x)\n"
        "def bump():\n    global count\n    count += 1\n    note(count)\n"
        "class Log:\n    def write(self, x): log.append(x)\n"
    )
    found = effects(names.analyse("bump()"), space)
    assert (found.mutates, found.binds) == ({"results", "count"}, {"count"})
    assert effects(names.analyse("Log().write(1)"), space).mutates == {"log"}
    assert effects(names.analyse("x = 1"), space).mutates == frozenset()


def test_of_a_pending_object_only_the_method_s_name_is_known() -> None:
    space = {name: Pending(name, "t", 1, UNBOUND, frozenset(), True) for name in ("data", "model")}
    found = effects(names.analyse("y = data.mean(); data.get(1); model.fit(data)"), space)
    assert found.mutates == {"model"}


def test_what_the_cell_binds_first_is_its_own() -> None:
    space = {name: Pending(name, "t", 1, UNBOUND, frozenset(), True) for name in ("time", "rows")}
    found = effects(names.analyse("import time\nrows = []\nrows.append(time.sleep(1))\nrows[0] = 2"), space)
    assert found.mutates == frozenset()


@pytest.mark.parametrize(
    ("source", "reads", "binds"),
    [
        ("get_ipython().run_line_magic('time', 'y = f(x)')", "get_ipython f x", "y"),
        ("files = get_ipython().getoutput('ls {folder} $name')", "folder name", "files"),
        ("get_ipython().system('echo {a + b}')", "a b", ""),
        ("get_ipython().run_cell_magic('capture', 'out', 'z = x\\n')", "x", "z"),
        ("get_ipython().run_line_magic('matplotlib', 'inline')", "", ""),
    ],
)  # fmt: skip
def test_names_in_ipython_s_own_syntax(source: str, reads: str, binds: str) -> None:
    found = names.analyse(source)
    assert found.reads - {"get_ipython"} == frozenset(reads.split()) - {"get_ipython"}
    assert found.binds == frozenset(binds.split())
