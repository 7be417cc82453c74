"""A batch cell equals a local cell: names that batch cells hand to each other, and what they change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Kernel, Site
from tests.modules import modules_travel


class Gate:
    """Holds jobs up until the test opens it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.code = f"import os, time\nwhile not os.path.exists({str(path)!r}): time.sleep(0.05)\n"

    def open(self) -> None:
        self._path.touch()


@pytest.fixture
def gate(site: Site, request: pytest.FixtureRequest) -> Iterator[Gate]:
    """Open at the latest when the test ends: a job that is held up would hold up the next tests' cells."""
    found = Gate(site.root / f"open-{request.node.name}")
    yield found
    found.open()


def test_a_batch_cell_that_reads_a_pending_name_is_accepted_at_once(kernel: Kernel, gate: Gate) -> None:
    first = kernel.run(f"%%batch\n{gate.code}chained = 20")
    second = kernel.run("%%batch\nchained = chained + 1")
    third = kernel.run("%%batch\nprint('third')\nchained * 2")
    assert second.reply["status"] == third.reply["status"] == "ok"
    waits = f"It waits for job {first.job} (In[{first.reply['execution_count']}])."
    kernel.listen(lambda: waits in second.panel)
    kernel.until_panel(third, "waiting")
    gate.open()
    kernel.until_panel(third, "done")
    assert (third.value, third.text) == ("42", "third\n")
    assert kernel.run("chained").value == "21"


def test_inputs_are_as_they_were_at_the_cell_s_place(kernel: Kernel, gate: Gate) -> None:
    kernel.run("early = 'before'")
    kernel.run(f"%%batch\n{gate.code}late = 1")
    waiting = kernel.run("%%batch\nseen = early, late")
    kernel.run("early = 'after'")
    gate.open()
    kernel.until_panel(waiting, "done")
    assert kernel.run("seen, early").value == "(('before', 1), 'after')"


def test_what_a_function_of_a_job_reads_travels_to_the_next(kernel: Kernel, gate: Gate) -> None:
    kernel.run("import math\nscale = 2\ndef base(x): return math.floor(x) * scale")
    kernel.run(
        f"%%batch\n{gate.code}def made(x): return base(x) + scale\n"
        "class Made:\n    def run(self): return made(1)"
    )
    kernel.run("scale = 3")
    last = kernel.run("%%batch\nmade(2.5), Made().run()")
    gate.open()
    kernel.until_panel(last, "done")
    assert last.value == "(9, 6)"


def test_a_name_that_only_one_of_two_jobs_binds(kernel: Kernel, gate: Gate) -> None:
    kernel.run("maybe = 'old'")
    kernel.run(f"%%batch\n{gate.code}maybe = 'first'")
    kernel.run("%%batch\nif False: maybe = 'second'")
    last = kernel.run("%%batch\nmaybe")
    gate.open()
    kernel.until_panel(last, "done")
    assert last.value == "'first'"
    kept = kernel.run("%%batch\nif False: maybe = 'third'")
    after = kernel.run("%%batch\nmaybe")
    kernel.until_panel(kept, "done")
    kernel.until_panel(after, "done")
    assert after.value == "'first'"


def test_it_fails_with_the_error_of_the_job_that_it_needs(kernel: Kernel, gate: Gate) -> None:
    first = kernel.run(f"%%batch\n{gate.code}broken = 1 / 0")
    second = kernel.run("%%batch\nnever = broken")
    third = kernel.run("%%batch\nnor_this = never")
    gate.open()
    for cell in (second, third):
        kernel.until_panel(cell, "skipped")
        kernel.listen(lambda cell=cell: cell.error)
        assert cell.error == "ZeroDivisionError: division by zero"
        assert f"In[{first.reply['execution_count']}]" in "".join(cell.of("error")[0]["traceback"])
    assert kernel.run("nor_this").error == "ZeroDivisionError: division by zero"
    late = kernel.run("%%batch\nbroken")
    assert late.error == "ZeroDivisionError: division by zero" and not late.panel


def test_a_killed_job_takes_along_who_waits_for_it(kernel: Kernel, gate: Gate) -> None:
    first = kernel.run(f"%%batch\n{gate.code}doomed = 1")
    second = kernel.run("%%batch\ndoomed + 1")
    kernel.run(f"%kill {first.job}")
    kernel.until_panel(second, "skipped")
    gate.open()


def test_a_waiting_job_can_be_killed(kernel: Kernel, gate: Gate) -> None:
    kernel.run(f"%%batch\n{gate.code}first_of_two = 1")
    second = kernel.run("%%batch\nfirst_of_two + 1")
    kernel.run(f"%kill {second.job}")
    kernel.until_panel(second, "killed")
    gate.open()
    assert kernel.run("first_of_two").value == "1"


def test_a_broker_that_dies_forgets_no_dependency(kernel: Kernel, gate: Gate) -> None:
    kernel.run(f"%%batch\n{gate.code}survivor = 1")
    second = kernel.run("%%batch\nsurvivor + 1")
    kernel.site.kill_broker()
    gate.open()
    kernel.until_panel(second, "done")
    assert second.value == "2"


@pytest.mark.parametrize(
    ("before", "cell", "after", "value"),
    [
        ("lst = [1]", "lst[0] = 2", "lst", "[2]"),
        ("dct = {'a': []}\ninner = dct['a']", "dct['a'] += [1]", "dct, inner, dct['a'] is inner",
         "({'a': [1]}, [1], True)"),
        ("one = []\nother = one", "one[:] = [5]", "one, other is one", "([5], True)"),
        ("gone = 1", "del gone", "'gone' in dir()", "False"),
        ("class Box: pass\nbox = Box()\nbox.of = box", "box.value = 3", "box.value, box.of is box",
         "(3, True)"),
        ("def grow(x): x.append(1)\nhidden = []", "grow(hidden)", "hidden", "[1]"),
        ("kept_same = object()\nwas = kept_same", "if kept_same is None: kept_same = 1", "kept_same is was",
         "True"),
        ("nothing = [1]\nsame = nothing", "if nothing[0] > 1: nothing[0] = 0", "nothing is same", "True"),
    ],
)  # fmt: skip
def test_what_is_changed_in_place(kernel: Kernel, before: str, cell: str, after: str, value: str) -> None:
    kernel.run(before)
    done = kernel.batch(cell)
    kernel.run("pass")
    assert kernel.run(after).value == value, done.panel


def test_arrays_and_their_views(kernel: Kernel) -> None:
    kernel.run("import numpy as np\nwhole = np.zeros(4)\npart = whole[1:3]\napart = np.ones(2)")
    kernel.batch("part[:] = 7")
    assert kernel.run("whole.tolist(), apart.tolist()").value == "([0.0, 7.0, 7.0, 0.0], [1.0, 1.0])"
    kernel.batch("whole[1] = 8")
    kernel.run("part[1] = 9")
    assert kernel.run("whole.tolist()").value == "[0.0, 8.0, 9.0, 0.0]"


def test_a_change_that_nothing_told_of_is_a_conflict_if_the_user_changed_it_too(
    kernel: Kernel, gate: Gate
) -> None:
    (kernel.folder / "sneaky.py").write_text("def sneak(x): x.append('job')")
    kernel.run("import sneaky\nshared = []")
    cell = kernel.run(f"%%batch\n{gate.code}sneaky.sneak(shared)")
    kernel.run("shared.append('user')")
    gate.open()
    kernel.listen(lambda: "Changed by the job, and here too, so kept as here: shared." in cell.panel)
    assert kernel.run("shared").value == "['user']"


def test_the_last_value_is_out(kernel: Kernel, gate: Gate) -> None:
    cell = kernel.run(f"%%batch\n{gate.code}'last'")
    number = cell.reply["execution_count"]
    asked = kernel.send(f"_, Out[{number}], _{number}")
    kernel.listen(lambda: asked.states == ["busy"])
    gate.open()
    assert kernel.finish(asked).value == "('last', 'last', 'last')"
    quiet = kernel.batch("'not shown';")
    assert kernel.run(f"{quiet.reply['execution_count']} in Out").value == "False"


def test_an_older_last_value_doesn_t_become_the_last_one(kernel: Kernel, gate: Gate) -> None:
    cell = kernel.run(f"%%batch\n{gate.code}'older'")
    kernel.run("'newer'")
    gate.open()
    kernel.until_panel(cell, "done")
    number = cell.reply["execution_count"]
    assert kernel.run(f"Out[{number}], _{number}").value == "('older', 'older')"


#: What each cell does to objects that several names hold, and what an ordinary cell sees at last.
_CHAINS = {
    "one object of two jobs": (["a1 = [1]", "b1 = a1", "c1 = [b1]", "c1[0].append(2)"],
                               "a1, a1 is b1 is c1[0]", "([1, 2], True)"),
    "by way of a name that the last one doesn't read": (["a2 = [1]", "b2 = [a2]", "c2 = b2", "c2[0] += a2"],
                                                         "a2, c2[0] is a2", "([1, 1], True)"),
    "an object in a closure": (["def made():\n    kept = []\n    return kept, lambda: kept\na3, f3 = made()",
                                "a3.append(1)", "f3().append(2)"], "a3, f3() is a3", "([1, 2], True)"),
    "a part that is taken out": (["a4 = {'k': [1]}\nb4 = a4['k']", "c4 = a4.pop('k')", "c4.append(2)"],
                                 "b4, b4 is c4, a4", "([1, 2], True, {})"),
    "views of one array": (["import numpy as np\na5 = np.zeros(4)", "b5 = a5[1:]", "b5 += 1", "a5[3] = 7"],
                           "a5.tolist(), b5.tolist()", "([0.0, 1.0, 1.0, 7.0], [1.0, 1.0, 7.0])"),
    "a function's argument": (["a6 = []\ndef grow(x): x.append(len(x))", "b6 = a6\ngrow(b6)", "grow(a6)"],
                              "a6, a6 is b6", "([0, 1], True)"),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "asked", "value"), _CHAINS.values(), ids=list(_CHAINS))
def test_one_object_in_the_hands_of_several_jobs(
    kernel: Kernel, gate: Gate, cells: list[str], asked: str, value: str
) -> None:
    first, *rest = cells
    sent = [kernel.run(f"%%batch\n{gate.code}{first}"), *(kernel.run(f"%%batch\n{cell}") for cell in rest)]
    assert [cell.error for cell in sent] == [""] * len(cells)
    gate.open()
    assert kernel.run(asked).value == value


def test_who_holds_an_object_sees_its_change_wherever_it_is_held(kernel: Kernel) -> None:
    kernel.run("held = [1]\nclass Keeper:\n    kept = held\ndef keep(x=held): return x\nheld")
    number = kernel.batch("held.append(2)") and kernel.run("pass").reply["execution_count"] - 2
    assert kernel.run(f"Keeper.kept is keep() is Out[{number}] is held, held").value == "(True, [1, 2])"


def test_a_part_that_a_job_took_is_the_notebook_s_own(kernel: Kernel, gate: Gate) -> None:
    kernel.run("table = {'rows': [1]}")
    kernel.run(f"%%batch\n{gate.code}rows = table['rows']")
    kernel.run("table['rows'].append(2)\nother = table.pop('rows')")
    gate.open()
    assert kernel.run("rows is other, rows").value == "(True, [1, 2])"


def test_modules_beside_the_notebook_travel(kernel: Kernel, gate: Gate) -> None:
    modules_travel(kernel, gate)
    (kernel.folder / "lone_helper.py").write_text("BY = 5\ndef by(): return -BY\n")
    cell = kernel.batch("import lone_helper\nedited = lone_helper.by()")
    assert "lone_helper was edited after it was imported here: the job runs its file as it is" in cell.panel
    assert kernel.run("edited").value == "-5"


def test_what_can_t_be_made_anew_here_hurts_no_other_name(kernel: Kernel) -> None:
    kernel.run(
        "import os\nhome = os.getpid()\n"
        "def to_device():\n    if os.getpid() == home: raise RuntimeError('no device')\n    return Tensor()\n"
        "class Tensor:\n    def __reduce__(self): return to_device, ()"
    )
    cell = kernel.batch("tensor, beside = Tensor(), [5]")
    kernel.run("pass")
    assert "tensor could not come back: it can't be made anew here: RuntimeError: no device" in cell.panel
    assert kernel.run("beside").value == "[5]"
    assert kernel.run("tensor.x").error.startswith(
        "UnavailableError: tensor is unavailable here: it can't be"
    )


def fails_once(folder: Path) -> str:
    """Code that fails until there is a file in the folder."""
    return f"import os\nassert os.path.exists({str(folder / 'mended')!r})\n"


def test_a_job_and_those_that_were_skipped_for_it_are_run_again(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run("start = ['old']")
    first = kernel.run(f"%%batch\n{fails_once(tmp_path)}start = ['new']")
    second = kernel.run("%%batch\nkeep = [start]")
    kernel.until_panel(second, "skipped")
    (tmp_path / "mended").touch()
    kernel.run(f"%resubmit {first.job}")
    kernel.run(f"%resubmit {second.job}")
    assert kernel.run("keep, start, keep[0] is start").value == "([['new']], ['new'], True)"


def test_a_job_that_is_run_again_twice_refers_to_what_it_was_sent(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run("src = ['sent']; other = 'old'")
    first = kernel.batch(f"{fails_once(tmp_path)}held_on = [src]\nif not src: other = 'new'", "failed")
    kernel.run("src = ['rebound']")
    kernel.until_panel(kernel.run(f"%resubmit {first.job}"), "failed")
    dry = kernel.run("%%batch --dry-run\nheld_on")
    assert dry.error.startswith("CellError: The cell reads a name that a failed job was to bind")
    (tmp_path / "mended").touch()
    again = kernel.run(f"%resubmit {first.job}")
    assert kernel.run("held_on, other").value == "([['sent']], 'old')"
    assert kernel.run(f"%resubmit {again.job} --failed").error.startswith(
        f"BackendError: Job {again.job} is done"
    )
