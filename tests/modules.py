"""A scene that is played on Local and on HTCondor: modules beside the notebook."""

from __future__ import annotations

from tests.harness import Gate, Kernel

_FILES = {
    "lone_helper.py": "BY = 2\ndef by(): return BY\n",
    "helping/__init__.py": "from .core import Point, where\n",
    "helping/core.py": (
        "import lone_helper\n"
        "from pathlib import Path\n"
        "class Point:\n"
        "    def __init__(self, x): self.x = x\n"
        "    def times(self): return self.x * lone_helper.BY\n"
        "def where(): return Path(__file__).with_name('table.txt').read_text()\n"
    ),
    "helping/table.txt": "beside",
}


def modules_travel(kernel: Kernel, gate: Gate) -> None:
    """A job uses modules whose files are gone when it starts: one is edited, the others are moved away.

    And what the notebook has set in a module is set there.
    """
    for place, text in _FILES.items():
        (kernel.folder / place).parent.mkdir(exist_ok=True)
        (kernel.folder / place).write_text(text)
    kernel.run("import helping, lone_helper\nlone_helper.BY = 3\np = helping.Point(4)")
    kernel.run(f"%%batch\n{gate.code}held = 1")
    cell = kernel.run(
        "%%batch\nq = helping.Point(held + p.times()), helping.where(), isinstance(p, helping.Point)"
    )
    (kernel.folder / "lone_helper.py").write_text("BY = 5\n")
    (kernel.folder / "helping").rename(kernel.folder / "gone")
    gate.open()
    kernel.until_panel(cell, "done")
    back = kernel.run("q[0].x, q[0].times(), type(q[0]) is helping.Point, q[1:]")
    assert back.value == "(13, 39, True, ('beside', True))"
