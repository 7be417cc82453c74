"""What a site allows a job, and what is left of it."""

from __future__ import annotations

from typing import Any

import pytest
from traitlets.config import Config

from ganga_kernel import panel
from ganga_kernel.broker.backends import with_sites
from ganga_kernel.condor.limits import standing
from ganga_kernel.sites import SITES
from tests.unit.test_panel import job

CERN = SITES["cern"]().known()


def task(state: str = "running", **values: Any) -> dict[str, Any]:
    return {"state": state, "started": 1000.0, "since": 1000.0, "attempt": 1, **values}


@pytest.mark.parametrize(
    ("resources", "most", "why"),
    [
        ({}, 1200, "JobFlavour espresso"),
        ({"set": [["+JobFlavour", '"longlunch"']]}, 7200, "JobFlavour longlunch"),
        ({"set": [["MY.jobflavour", '"tomorrow"']]}, 86400, "JobFlavour tomorrow"),
        ({"set": [["+JobFlavour", '"unheard"']]}, 1200, "JobFlavour espresso"),
        ({"set": [["JobFlavour", "longlunch"]]}, 1200, "JobFlavour espresso"),  # HTCondor: a macro
        ({"set": [["+JobFlavour", '"longlunch"'], ["+MaxRuntime", "90"]]}, 90, "MaxRuntime"),
        ({"runtime": 60}, 60, "--runtime"),
        ({"runtime": 9999}, 1200, "JobFlavour espresso"),
        ({"runtime": 9999, "set": [["+MaxRuntime", "2 * 60"]]}, 9999, "--runtime"),
    ],
)
def test_the_shortest_time_counts(resources: dict[str, Any], most: int, why: str) -> None:
    assert standing(CERN, resources, [task()]) == {"runtime": {"since": 1000.0, "most": most, "why": why}}


def test_without_a_site_only_what_was_asked_for_limits_a_job() -> None:
    generic = SITES["generic"]().known()
    tasks = [task(attempt=9), task("held")]
    assert standing(generic, {}, tasks) == standing({}, {}, tasks) == {}
    assert standing(generic, {"runtime": 60}, tasks)["runtime"]["why"] == "--runtime"
    assert standing(CERN, {"set": [["+MaxRuntime", "2 * 60"]]}, [task()]) == {}


def test_of_many_tasks_the_nearest_to_a_limit_counts() -> None:
    tasks = [task(started=5.0), task(started=3.0, attempt=4), task("held", since=7.0),
             task("held", since=6.0), task("done", started=1.0, attempt=10)]  # fmt: skip
    assert standing(CERN, {}, tasks) == {
        "runtime": {"since": 3.0, "most": 1200, "why": "JobFlavour espresso"},
        "held": {"since": 6.0, "most": 86400},
        "restarts": {"count": 3, "most": 10},
    }


@pytest.mark.parametrize("state", ["queued", "done", "lost", "accepted"])
def test_a_job_that_neither_runs_nor_is_held_is_near_no_limit(state: str) -> None:
    assert standing(CERN, {}, [task(state)]) == {}


def test_the_panel_says_what_is_left() -> None:
    limits = standing(CERN, {}, [task(started=1e9, attempt=10)])
    said = panel.as_text(job(limits=limits), 1e9 + 720, [])
    assert "It runs 12 min of at most 20 min (JobFlavour espresso), until 20" in said
    assert "It was restarted 9 of at most 10 times." in said
    limits = standing(CERN, {}, [task("held", since=1e9)])
    said = panel.as_text(job("held", limits=limits, tasks=2), 1e9 + 50 * 60, [])
    assert "One of its tasks is held, and deleted in 23 h 10 min if it stays so, at 20" in said


def test_a_default_flavour_is_one_of_its_site() -> None:
    known = [site().known() for site in SITES.values()]
    assert all(one["flavour"] in one["flavours"] for one in known if one["flavours"])


def test_what_a_site_knows_can_be_set_and_its_commands_give_way_to_the_cell_s() -> None:
    config = Config({"Cern": {"held": 5}, "Generic": {"restarts": 1}})
    known = SITES["cern"](config=config).known()
    assert (known["held"], known["restarts"], known["transfer"]) == (5, 10, 2**30)
    assert with_sites({"+sendcredential": "false"}, known["commands"]) == {"+sendcredential": "false"}
    assert with_sites({"+A": "1"}, known["commands"]) == {"MY.SendCredential": "true", "+A": "1"}
