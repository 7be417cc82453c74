"""A job's state in, HTML and text out."""

from __future__ import annotations

import html.parser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganga_kernel import panel
from ganga_kernel.states import STATES, State, ended


def job(state: str = "running", **values: Any) -> dict[str, Any]:
    """A job's summary."""
    return {
        "id": 3, "state": state, "backend": "HTCondor", "native": "17", "clusters": ["17"], "ganga_id": 2,
        "host": "wn7",
        "attempt": 1, "created": 1e9, "started": 1e9 + 60, "ended": 1e9 + 80 if ended(state) else None,
        "reason": "", "notes": [], "usage": None, "label": "x = 1", "execution_count": 5,
        "tasks": 1, "items": None, "progress": None, "limits": {}, **values,
    }  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_a_panel_and_the_unfinished_say_how_to_refresh(state: str) -> None:
    text = panel.as_text(job(state), 1e9 + 70, [])
    assert text.startswith(f"Job 3: {state} (HTCondor, cluster 17")
    assert ("%wait 3" in text) == (not ended(state))
    assert state in panel.as_html(job(state), 1e9 + 70, [])


@pytest.mark.parametrize("state", STATES.values(), ids=list(STATES))
def test_the_docs_have_the_same_sentence_for_every_state(state: State) -> None:
    said = " ".join(filter(None, (state.sentence, state.remedy)))
    docs = Path(__file__).parents[2] / "docs" / "htcondor.md"
    assert f"| {state.name} | {said} |" in docs.read_text()


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_job_in_flight_says_what_holds_it_up(state: str) -> None:
    assert "Its machine is away." in panel.as_text(job(state, reason="Its machine is away."), 1e9, [])


@pytest.mark.parametrize("state", STATES)
def test_a_saved_panel_tells_its_job_and_state(state: str) -> None:
    text = panel.bundle(job(state, host="a: b ("), 1e9 + 70, ["Sent 3 GB."])["text/plain"]
    assert (panel.job_of(panel.metadata(job(state))), panel.state_in(text)) == (3, state)
    assert panel.job_of({}) is panel.job_of({"ganga_kernel": {"role": "buttons"}}) is None


class _Tags(html.parser.HTMLParser):
    """Collects tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@given(st.text(), st.sampled_from(sorted(STATES)))
def test_nothing_that_comes_from_outside_is_html(text: str, state: str) -> None:
    evil = f"<script>alert({text})</script><b id=x>"
    found = panel.as_html(
        job(state, reason=evil, host=evil, native=evil, clusters=[evil], notes=[evil], backend=evil),
        1e9,
        [evil],
    )
    tags = _Tags()
    tags.feed(found)
    assert tags.tags <= {"div", "span", "b"} and tags.attributes <= {"style"}


def items(**values: Any) -> dict[str, Any]:
    """The counts of a map's items."""
    return {"total": 100, "done": 37, "failed": 0, "failures": [], "lost": [], **values}


def test_a_map_has_counts_a_bar_and_its_first_failures() -> None:
    failures = [{"item": n, "ename": "KeyError", "evalue": "<i>"} for n in range(9)]
    lost = [{"items": "20 to 24", "state": "lost", "why": "It was killed."}]
    mapped = job(tasks=10, items=items(failed=14, failures=failures, lost=lost))
    text = panel.as_text(mapped, 1e9, [])
    assert "37 of 100 items done, 14 failed (51%)\n" in text and "10 tasks" in text and "on wn7" not in text
    assert text.count("KeyError") == 3 and "Items 20 to 24: lost. It was killed." in text
    html_ = panel.as_html(mapped, 1e9, [])
    assert '<progress value="51" max="100"></progress>' in html_ and "&lt;i&gt;" in html_
    assert "37 of 100 items done (37%)<" in panel.as_html(job(items=items()), 1e9, [])


def progress(
    done: float, total: float | None, finish: float | None = None, running: int = 1
) -> dict[str, Any]:
    """How far a job has got."""
    return {"done": done, "total": total, "finish": finish, "running": running}


@pytest.mark.parametrize(
    ("told", "said", "bar"),
    [
        (progress(350, 1000, 1e9 + 185), "350 of 1,000 done (35%), about 3 min left", "350/1000"),
        (progress(0.5, 2.0, 1e9 + 7), "0.5 of 2 done (25%), a few seconds left", "0.5/2.0"),
        (progress(999, 1000, 1e9 - 1), "999 of 1,000 done (99%)", "999/1000"),
        (progress(5, 4), "5 of 4 done", "4/4"),
        (progress(-1, 4), "-1 of 4 done", "0/4"),
        (progress(12, None), "12 done", None),
        (progress(0, 0), "0 of 0 done", None),
    ],
)
def test_a_cell_s_own_progress_is_a_bar_and_what_is_left(told: Any, said: str, bar: str | None) -> None:
    running = job(progress=told)
    assert f"\n  {said}\n" in panel.as_text(running, 1e9, [])
    html_ = panel.as_html(running, 1e9, [])
    assert f"<span>{said}</span>" in html_ and ("<progress" in html_) == (bar is not None)
    if bar is not None:
        value, most = bar.split("/")
        assert f'<progress value="{value}" max="{most}"></progress>' in html_


def test_a_map_says_how_many_tasks_run_and_what_is_left() -> None:
    mapped = job(tasks=10, items=items(), progress=progress(37, 100, 1e9 + 7900, 8))
    said = "37 of 100 items done (37%), 8 tasks run, about 2 h 10 min left"
    assert said in panel.as_text(mapped, 1e9, []) and said in panel.as_html(mapped, 1e9, [])


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(22, "about 20 s"), (58, "about 1 min"), (3599, "about 1 h"), (86400 * 2.4, "about 2 days")],
)
def test_a_guess_is_told_no_finer_than_it_is_meant(seconds: float, said: str) -> None:
    assert f"{said} left" in panel.as_text(job(progress=progress(1, 2, 1e9 + seconds)), 1e9, [])


def test_a_reason_is_told() -> None:
    assert "used 3 GB" in panel.as_text(job("held", reason="used 3 GB"), 1e9, [])


def test_metadata_is_constant() -> None:
    assert (
        panel.metadata(job()) == {"ganga_kernel": {"role": "panel", "job": 3}} == panel.metadata(job("done"))
    )


def test_usage_and_times() -> None:
    usage = {"cpu": 12.0, "memory": 2**31, "efficiency": 0.3, "cpus": None, "memory_asked": None}
    text = panel.as_text(job("done", usage=usage), 2e9, [])
    assert "waited 1 min" in text and "ran 20 s" in text and "used 12 s of CPU and 2 GB" in text
    asked = panel.as_text(job("done", usage={**usage, "cpus": 2, "memory_asked": 2**32}), 2e9, [])
    assert "used 12 s of CPU (30% of 2 cores) and 2 GB of 4 GB" in asked


def test_only_a_running_job_is_said_to_run() -> None:
    assert "runs since" in panel.as_text(job("running"), 1e9, [])
    held = panel.as_text(job("held"), 1e9, [])
    assert "started " in held and "runs since" not in held


def test_the_table() -> None:
    lines = panel.table([job(), job("done", host="")], 1e9 + 70).splitlines()
    assert lines[0].split() == ["job", "state", "backend", "host", "cell", "created", "took", "what"]
    assert lines[1].split()[:5] == ["3", "running", "HTCondor", "wn7", "In[5]"]
    assert panel.table([], 0) == "No jobs yet."
