"""The fixture `slurm`: a real Slurm of one node for the tests, see ``tests/slurm-cluster``."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("slurm-cluster")


@dataclass(frozen=True)
class Slurm:
    """A running Slurm.

    Parameters
    ----------
    environ: the environment variables that lead to it
    """

    environ: dict[str, str]

    def run(self, *command: str) -> str:
        """Standard output of one of Slurm's own commands."""
        done = subprocess.run(
            command, env={**os.environ, **self.environ}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A running Slurm; the tests fail with a sentence if there can't be one."""
    folder = tmp_path_factory.mktemp("slurm")
    for action in (["install"], ["start", str(folder)]):
        done = subprocess.run([str(SCRIPT), *action], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{SCRIPT.name} {action[0]}: {done.stdout}{done.stderr}"
    yield Slurm({"SLURM_CONF": str(folder / "slurm.conf")})
    subprocess.run([str(SCRIPT), "stop", str(folder)], check=True, timeout=60)
