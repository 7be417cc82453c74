"""The panel under a batch cell: a job's state in, HTML and text out. Pure.

The HTML survives JupyterLab's sanitiser, since one untrusted output makes a whole notebook untrusted after a
reload: inline style, no script, no id, no SVG. Every string that isn't ours is escaped. A panel that can no
longer be updated still reads right: it carries the time of its state and says how to refresh it.
"""

from __future__ import annotations

import html
import math
import time
from collections.abc import Mapping
from typing import Any

from .options import spell_size
from .states import STATES, ended

Job = Mapping[str, Any]

_BOX = (
    "font-family:system-ui,sans-serif;font-size:13px;line-height:1.5;border:1px solid rgba(128,128,128,.35);"
    "border-left:4px solid {colour};border-radius:4px;padding:6px 12px;margin:2px 0;max-width:860px"
)
_BADGE = (
    "display:inline-block;background:{colour};color:#fff;border-radius:10px;padding:0 9px;"
    "font-weight:600;font-size:12px"
)
_QUIET = "opacity:.75"
#: Failed items of a map that the panel names, with their errors.
_NAMED = 3


def bundle(job: Job, now: float, hints: list[str]) -> dict[str, str]:
    """The panel as a mime bundle.

    Parameters
    ----------
    job: a job's summary, as the broker tells it
    now: the time of the state, unix seconds
    hints: sentences of the notebook's side, e.g. on what was sent
    """
    return {"text/html": as_html(job, now, hints), "text/plain": as_text(job, now, hints)}


def metadata(job: Job, role: str = "panel") -> dict[str, Any]:
    """The panel's output metadata, by which tools tell it from the cell's outputs; constant for a job.

    Parameters
    ----------
    role: "items" for the outputs of a map's items
    """
    return {"ganga_kernel": {"role": role, "job": job["id"]}}


def job_of(metadata: Mapping[str, Any]) -> int | None:
    """The job whose panel an output with this metadata is; None if it is no panel."""
    ours = metadata.get("ganga_kernel", {})
    return int(ours["job"]) if ours.get("role") == "panel" else None


def as_text(job: Job, now: float, hints: list[str]) -> str:
    """The panel for a console."""
    lines = [f"Job {job['id']}: {job['state']} ({', '.join(_facts(job))})"]
    lines += [f"  {said}"] if (said := _how_far(job, now)) else []
    lines += [f"  {sentence}" for sentence in sentences(job, now, hints)]
    if not ended(job["state"]):
        lines.append(f"  As of {_clock(now)}. {_refresh(job)}")
    return "\n".join(lines)


def state_in(text: str) -> str:
    """The state that a panel's text tells."""
    return text.split(" ", 3)[2]


def as_html(job: Job, now: float, hints: list[str]) -> str:
    """The panel for a browser."""
    state = STATES[job["state"]]
    badge = f'<span style="{_BADGE.format(colour=state.colour)}">{state.name}</span>'
    facts = " · ".join(html.escape(fact) for fact in _facts(job))
    rows = [f"<div>{badge} <b>Job {int(job['id'])}</b> <span>{facts}</span></div>"]
    if said := _how_far(job, now):
        rows.append(f"<div>{_bar(job)} <span>{html.escape(said)}</span></div>")
    rows += [f"<div>{html.escape(sentence)}</div>" for sentence in sentences(job, now, hints)]
    if not ended(job["state"]):
        said = html.escape(f"As of {_clock(now)}. {_refresh(job)}")
        rows.append(f'<div style="{_QUIET};font-size:12px">{said}</div>')
    return f'<div style="{_BOX.format(colour=state.colour)}">{"".join(rows)}</div>'


def _bar(job: Job) -> str:
    """A bar of what is done; empty where nobody knows how much there is to do."""
    done, total = _done(job)
    if not total or total < 0:
        return ""
    return f'<progress value="{min(max(done, 0), total)}" max="{total}"></progress>'


def _done(job: Job) -> tuple[float, float | None]:
    """How much of how much is done; of a map, how many items have ended."""
    if job["items"]:
        return job["items"]["done"] + job["items"]["failed"], job["items"]["total"]
    return job["progress"]["done"], job["progress"]["total"]


def _how_far(job: Job, now: float) -> str:
    """How far a job has got, and how long it may yet take; empty if nobody knows."""
    progress = job["progress"]
    if not progress and not job["items"]:
        return ""
    done, total = _done(job)
    if job["items"]:
        said = [_counts(job["items"])]
    else:
        said = [f"{_spelled(done)} done" if total is None else f"{_spelled(done)} of {_spelled(total)} done"]
    if total and 0 <= done <= total:
        said[0] += f" ({math.floor(100 * (done / total))}%)"
    if job["items"] and progress:
        said.append("1 task runs" if progress["running"] == 1 else f"{progress['running']} tasks run")
    if progress and progress["finish"] is not None and progress["finish"] >= now:
        said.append(f"{_about(progress['finish'] - now)} left")
    return ", ".join(said)


def _counts(items: Mapping[str, Any]) -> str:
    failed = f", {items['failed']} failed" if items["failed"] else ""
    return f"{items['done']} of {items['total']} items done{failed}"


def _spelled(number: float) -> str:
    """A count, or any other number, for a reader: 1,234,567 or 0.25."""
    return f"{number:,}" if isinstance(number, int) else f"{number:,.4g}"


def _about(seconds: float) -> str:
    """An estimated duration, no finer than it is meant: a few seconds, about 20 s, about 2 h 10 min."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 57.5:
        return f"about {5 * round(seconds / 5)} s"
    if seconds < 3570:
        return f"about {max(1, round(seconds / 60))} min"
    if seconds < 48 * 3600:
        return f"about {span(600 * round(seconds / 600))}"
    return f"about {round(seconds / 86400):,} days"


def table(jobs: list[Job], now: float) -> str:
    """Jobs as a plain table, one a line."""
    if not jobs:
        return "No jobs yet."
    head = ("job", "state", "backend", "host", "cell", "created", "took", "what")
    rows = [head, *(_row(job, now) for job in jobs)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(job: Job, now: float) -> tuple[str, ...]:
    return (
        str(job["id"]), job["state"], job["backend"], job["host"] or "-",
        f"In[{job['execution_count']}]", time.strftime("%m-%d %H:%M", time.localtime(job["created"])),
        span((job["ended"] or now) - job["started"]) if job["started"] else "-",
        job["label"][:50],
    )  # fmt: skip


def where(job: Job) -> list[str]:
    """The job's backend, and what that calls the job."""
    first, *more = job["clusters"] or [""]
    if not first:
        return [job["backend"]]
    return [job["backend"], f"cluster {first}{f' and {len(more)} more' if more else ''}"]


def _facts(job: Job) -> list[str]:
    facts = where(job)
    if job["tasks"] > 1:
        facts.append(f"{job['tasks']} tasks")
    elif job["host"]:
        facts.append(f"on {job['host']}")
    if job["attempt"] and job["attempt"] > 1:
        facts.append(f"attempt {job['attempt']}")
    if job["started"] or job["ended"]:
        facts.append(f"waited {span((job['started'] or job['ended']) - job['created'])}")
    else:
        facts.append(f"waits since {_clock(job['created'])}")
    if job["started"] and job["ended"]:
        facts.append(f"ran {span(job['ended'] - job['started'])}")
    elif job["started"]:
        said = "runs since" if job["state"] == "running" else "started"
        facts.append(f"{said} {_clock(job['started'])}")
    if job["ended"]:
        facts.append(f"ended {_clock(job['ended'])}")
    return facts + ([_used(job["usage"])] if job["usage"] else [])


def _used(usage: Mapping[str, Any]) -> str:
    """What a job used, of what it asked for."""
    cores = f" ({usage['efficiency']:.0%} of {usage['cpus']} cores)" if (usage["cpus"] or 1) > 1 else ""
    memory = spell_size(usage["memory"], " ")
    asked = f" of {spell_size(usage['memory_asked'], ' ')}" if usage["memory_asked"] else ""
    return f"used {span(usage['cpu'])} of CPU{cores} and {memory}{asked}"


def sentences(job: Job, now: float, hints: list[str]) -> list[str]:
    """What there is to say of a job's state, one sentence or more an item."""
    state = STATES[job["state"]]
    said = []
    if job["state"] in ("queued", "running") and job["reason"]:
        said.append(job["reason"])
    elif job["state"] not in ("running", "done", "queued"):
        said.append(" ".join(filter(None, (state.sentence, job["reason"], state.remedy))))
    return [*said, *_limits(job, now), *_failures(job["items"]), *job["notes"], *hints]


def _limits(job: Job, now: float) -> list[str]:
    """What is left of what the job's site allows it; with times of day, since a panel may be an old one."""
    said, limits = [], job["limits"]
    one = "It" if job["tasks"] == 1 else "One of its tasks"
    if runtime := limits.get("runtime"):
        ran, end = span(now - runtime["since"]), _clock(runtime["since"] + runtime["most"])
        most = f"at most {span(runtime['most'])} ({runtime['why']})"
        said.append(f"{one} runs {ran} of {most}, until {end}.")
    if held := limits.get("held"):
        end = held["since"] + held["most"]
        said.append(f"{one} is held, and deleted in {span(end - now)} if it stays so, at {_clock(end)}.")
    if restarts := limits.get("restarts"):
        said.append(f"{one} was restarted {restarts['count']} of at most {restarts['most']} times.")
    return said


def _failures(items: Mapping[str, Any] | None) -> list[str]:
    """A sentence for each of a map's first failed items, and of its lost tasks."""
    if items is None:
        return []
    said = [f"Item {one['item']}: {one['ename']}: {one['evalue']}" for one in items["failures"][:_NAMED]]
    return said + [f"Items {one['items']}: {one['state']}. {one['why']}" for one in items["lost"][:_NAMED]]


def _refresh(job: Job) -> str:
    number = job["id"]
    return f"%wait {number} waits for it, %jobs shows all, %kill {number} ends it."


def _clock(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


def span(seconds: float) -> str:
    """A duration as a person says it: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
