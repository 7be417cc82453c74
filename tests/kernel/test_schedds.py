"""Batch cells that go to a schedd which this machine's configuration doesn't know, by name and pool."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Kernel, make_site
from tests.pool import Pool


@pytest.fixture(scope="module")
def collector(pool: Pool) -> str:
    """Host and port of the pool's collector."""
    found = re.match(r"<([^?>]+)", pool.run("condor_status", "-collector", "-af", "MyAddress"))
    assert found
    return found[1]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the user's tokens."""
    return tmp_path_factory.mktemp("tokens")


@pytest.fixture(scope="module")
def kernel(pool: Pool, tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel whose HTCondor configuration has no schedd, and a collector that isn't there."""
    config = tmp_path_factory.mktemp("elsewhere") / "condor_config"
    config.write_text(
        f"include : {pool.environ['CONDOR_CONFIG']}\n"
        "DAEMON_LIST =\nCOLLECTOR_HOST = 127.0.0.1:1\nSCHEDD_NAME = none@local\n"
        "SCHEDD_ADDRESS_FILE = /nonexistent/schedd\nSCHEDD_DAEMON_AD_FILE = /nonexistent/schedd_ad\n"
        "SCHEDD_SUPER_ADDRESS_FILE = /nonexistent/schedd_super\n"
        f"SEC_TOKEN_DIRECTORY = {tokens}\nSEC_TOKEN_SYSTEM_DIRECTORY = /nonexistent/tokens.d\n"
    )
    with make_site(
        backend="HTCondor", options={"memory": "200MB"}, idle_pause=2.0, chunk_seconds=0.5
    ) as site:
        site.environment.update({**pool.environ, "CONDOR_CONFIG": str(config)})
        running = Kernel(site)
        yield running
        running.close()


def test_a_wrong_schedd_or_pool_is_told_and_nothing_is_submitted(kernel: Kernel, collector: str) -> None:
    none = kernel.run("%%batch\nx = 1")
    assert "This machine's HTCondor schedd can't be reached" in none.error
    cell = kernel.run(f"%%batch --schedd pol@local --pool {collector}\nx = 1")
    assert f"There is no schedd pol@local that {collector} knows." in cell.error
    assert "There are: pool@local; condor_status -schedd lists them." in cell.error
    away = kernel.run("%%batch --schedd pool@local --pool 127.0.0.1:1\nx = 1")
    assert "can't be looked up, as 127.0.0.1:1 doesn't answer" in away.error


def test_a_notebook_s_cells_go_to_another_schedd_with_all_that_is_done_there(
    kernel: Kernel, collector: str
) -> None:
    kernel.run(f"%batch --schedd pool@local --pool {collector}")
    cell = kernel.batch("print('there')\nfound = 42")
    assert cell.text == "there\n" and kernel.run("found").value == "42"

    mapped = kernel.run("%%batch --map x=range(4) --chunk auto --allow-failures\ny = 1 / (x - 2)")
    kernel.listen(lambda: "3 of 4 items done" in mapped.panel)

    waits = kernel.run("%%batch --requirements 'Arch == \"SPARC\"'\nforeign = 1")
    kernel.listen(lambda: "which it requires" in waits.panel)
    assert "on hold" in kernel.run(f"%hold {waits.job}").text
    kernel.until_panel(waits, "held")
    assert "from its next start" in kernel.run(f"%job {waits.job} --memory 300MB").text
    assert "released" in kernel.run(f"%release {waits.job}").text
    kernel.run(f"%kill {waits.job}")
    kernel.until_panel(waits, "killed")


def test_a_token_that_ends_before_the_job_may_is_told(
    kernel: Kernel, collector: str, tokens: Path, pool: Pool
) -> None:
    token = pool.run("condor_token_create", "-identity", "me@local", "-lifetime", "600")
    (tokens / "mine").write_text(token)
    cell = kernel.run(f"%%batch --schedd pool@local --pool {collector} --runtime 2h\nheld_to = 1")
    kernel.until_panel(cell, "done")
    said = (
        r"Your token mine ends in (10 min|9 min 5\d s), and the job may run for 2 h: renew it meanwhile, or"
    )
    assert any(re.search(said, panel) for panel in cell.panels), cell.panels
    lasts = kernel.run(f"%%batch --schedd pool@local --pool {collector} --runtime 1min\nheld_to = 1")
    kernel.until_panel(lasts, "done")
    assert not any("Your token" in panel for panel in lasts.panels)


def test_a_broker_that_was_killed_finds_the_job_at_its_schedd(kernel: Kernel, tmp_path: Path) -> None:
    opened = tmp_path / "open"
    code = f"import os, time\nwhile not os.path.exists({str(opened)!r}): time.sleep(0.1)\nlate = 7"
    cell = kernel.run(f"%%batch\n{code}")
    kernel.until_panel(cell, "running")
    kernel.site.kill_broker()
    opened.touch()
    kernel.until_panel(cell, "done")
    assert kernel.run("late").value == "7"
