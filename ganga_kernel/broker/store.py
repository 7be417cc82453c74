"""The job store: cells, jobs, tasks and outputs, in SQLite.

One process writes it, and locks it for itself, so that it may lie on a shared disk (SQLite's shared
write-ahead log must not be used over a network: https://www.sqlite.org/wal.html, "Advantages").
"""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from ..errors import BrokerUnavailable

#: Version of the schema; to be raised with every change of it.
_VERSION = 11

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL UNIQUE,
    notebook TEXT NOT NULL, cell TEXT NOT NULL, source TEXT NOT NULL, label TEXT NOT NULL,
    execution_count INTEGER NOT NULL,
    names TEXT NOT NULL,
    map TEXT,                               -- as in job.json, with "count": how many items the cell has
    replaces TEXT NOT NULL DEFAULT '',      -- token of the job that was submitted once more as this one
    after TEXT NOT NULL,                    -- [[token, [name, ...]], ...]: jobs to be done first
    backend TEXT NOT NULL, resources TEXT NOT NULL, folder TEXT NOT NULL, python TEXT NOT NULL,
    handed INTEGER NOT NULL DEFAULT 0,      -- 0 not yet, 1 being handed to Ganga, 2 Ganga has it
    ganga_id INTEGER, native TEXT,
    clusters TEXT NOT NULL DEFAULT '[]',    -- HTCondor's: see clusters.py
    sending INTEGER NOT NULL DEFAULT 0,     -- of a further cluster on its way the task after its last; else 0
    log_offset INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL, submitted REAL,
    outputs INTEGER NOT NULL DEFAULT 0,     -- number of the next output; none is used twice
    kill_asked INTEGER NOT NULL DEFAULT 0,
    fingerprint TEXT NOT NULL DEFAULT '',   -- equal for the same cell with the same inputs; '' if unknown
    delivered INTEGER NOT NULL DEFAULT 0,   -- see attaching.py
    limits TEXT NOT NULL DEFAULT '{}'       -- what its site allows: see condor/limits.py
);
CREATE INDEX IF NOT EXISTS jobs_by_fingerprint ON jobs (fingerprint);
CREATE INDEX IF NOT EXISTS jobs_by_replaced ON jobs (replaces);
CREATE TABLE IF NOT EXISTS tasks (
    job INTEGER NOT NULL REFERENCES jobs(id), task INTEGER NOT NULL,
    state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
    attempt INTEGER NOT NULL DEFAULT 0, host TEXT NOT NULL DEFAULT '',
    started REAL, ended REAL, exit_code INTEGER,
    since REAL,                             -- when its backend said last that it is in another state
    backend_ended INTEGER NOT NULL DEFAULT 0,
    stream_offset INTEGER NOT NULL DEFAULT 0, stream_head TEXT NOT NULL DEFAULT '',
    error TEXT, frames TEXT NOT NULL DEFAULT '[]', result TEXT, usage TEXT, notes TEXT NOT NULL DEFAULT '[]',
    items_done INTEGER NOT NULL DEFAULT 0, items_failed INTEGER NOT NULL DEFAULT 0,
    progress TEXT,                          -- how far its cell has got: see eta.py; of items only "at"
    again TEXT NOT NULL DEFAULT '[]',       -- how it came to run again by itself: see retries.py
    kill_asked INTEGER NOT NULL DEFAULT 0,  -- of it alone
    PRIMARY KEY (job, task)
);
CREATE TABLE IF NOT EXISTS items (          -- those that failed; the others are only counted
    job INTEGER NOT NULL, task INTEGER NOT NULL, item INTEGER NOT NULL,
    ename TEXT NOT NULL, evalue TEXT NOT NULL,
    PRIMARY KEY (job, item)
);
CREATE TABLE IF NOT EXISTS outputs (
    job INTEGER NOT NULL, task INTEGER NOT NULL, number INTEGER NOT NULL,
    item INTEGER, output TEXT NOT NULL,
    PRIMARY KEY (job, number)
);
"""
#: Failed items that a job is told with.
_FAILURES = 20
_JSON = {"names", "map", "clusters", "after", "resources", "python", "limits", "error", "frames", "result",
         "usage", "notes", "progress", "again"}  # fmt: skip


class Store:
    """The jobs of one user.

    Parameters
    ----------
    path: the database file; it is made if it isn't there

    Raises
    ------
    BrokerUnavailable: it can't be opened, for example because another process has it.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables and version != _VERSION:
                raise BrokerUnavailable(
                    f"The job store {path} was written by another version of ganga-kernel.",
                    "Move the state folder away, or set another GangaKernel.state_dir.",
                )
            self._db.executescript(_SCHEMA)
            self._db.execute(f"PRAGMA user_version = {_VERSION}")
        except sqlite3.Error as error:
            raise BrokerUnavailable(
                f"The job store {path} can't be opened: {error}.",
                "If another broker has it, end that one; if the file is damaged, move it away.",
            ) from error

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def __enter__(self) -> Store:
        """Begin a transaction: all changes of the block are stored together."""
        self._db.execute("BEGIN")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")

    def add(self, job: dict[str, Any]) -> int:
        """Store a new job durably, with its tasks, and return its number."""
        row = {name: _plain(name, job[name]) for name in job if name not in ("tasks", "fingerprints")}
        row["fingerprint"] = next(iter(job["fingerprints"]), "")
        row["created"] = time.time()
        with self:
            columns = ", ".join(row)
            marks = ", ".join(f":{name}" for name in row)
            found = self._db.execute(f"INSERT INTO jobs ({columns}) VALUES ({marks})", row)
            number = int(found.lastrowid or 0)
            state = "waiting" if job["after"] else "accepted"
            self._db.executemany(
                "INSERT INTO tasks (job, task, state) VALUES (?, ?, ?)",
                ((number, task, state) for task in range(job["tasks"])),
            )
        return number

    def job(self, number: int) -> dict[str, Any] | None:
        """One job with its tasks, or None."""
        row = self._db.execute("SELECT * FROM jobs WHERE id = ?", (number,)).fetchone()
        return self._whole(row) if row else None

    def fresh(self, known: dict[str, Any]) -> dict[str, Any]:
        """A job whose map and tasks the caller keeps in step with the store: the rest of it is read anew."""
        row = self._db.execute("SELECT * FROM jobs WHERE id = ?", (known["id"],)).fetchone()
        kept = {name: known[name] for name in ("map", "tasks")}
        parts = {"failures": self._failures_of(known), "first": self._first(known)}
        return {**_rich({**dict(row), "map": None}), **kept, **parts}

    def by_token(self, token: str) -> dict[str, Any] | None:
        """The job of a token, or None."""
        row = self._db.execute("SELECT * FROM jobs WHERE token = ?", (token,)).fetchone()
        return self._whole(row) if row else None

    def newest_of(self, token: str) -> dict[str, Any] | None:
        """The job of a token, or the one as which it was submitted once more, the newest; or None."""
        row = self._db.execute(
            "SELECT token FROM jobs WHERE replaces = ? ORDER BY id DESC LIMIT 1", (token,)
        ).fetchone()
        return self.newest_of(row[0]) if row else self.by_token(token)

    def by_fingerprint(self, fingerprints: list[str]) -> dict[str, Any] | None:
        """The newest job that has one of these fingerprints, or None."""
        marks = ", ".join("?" for _ in fingerprints)
        row = self._db.execute(
            f"SELECT * FROM jobs WHERE fingerprint IN ({marks}) ORDER BY id DESC LIMIT 1", fingerprints
        ).fetchone()
        return self._whole(row) if row else None

    def repeats(self, token: str) -> list[int]:
        """The jobs that run failed items of the job of a token."""
        rows = self._db.execute("SELECT id, map FROM jobs WHERE replaces = ?", (token,)).fetchall()
        return [row["id"] for row in rows if (_rich(row)["map"] or {}).get("only") is not None]

    def newest(self, limit: int) -> list[int]:
        """The numbers of the newest jobs, newest first."""
        return [
            int(row[0]) for row in self._db.execute("SELECT id FROM jobs ORDER BY id DESC LIMIT ?", (limit,))
        ]

    def is_unfinished(self) -> bool:
        """Whether a job has not ended; see `unfinished`."""
        found = self._db.execute("SELECT EXISTS (SELECT 1 FROM tasks WHERE backend_ended = 0)").fetchone()
        return bool(found[0])

    def unfinished(self) -> list[dict[str, Any]]:
        """Jobs of which a task has not ended, or whose backend has not; oldest first."""
        rows = self._db.execute(
            "SELECT * FROM jobs WHERE id IN (SELECT job FROM tasks WHERE backend_ended = 0) ORDER BY id"
        )
        return [self._whole(row) for row in rows.fetchall()]

    def accepted(self) -> list[dict[str, Any]]:
        """Jobs that wait to be handed over; oldest first."""
        rows = self._db.execute(
            "SELECT * FROM jobs WHERE handed = 0 AND "
            "EXISTS (SELECT 1 FROM tasks WHERE job = jobs.id AND backend_ended = 0) ORDER BY id"
        )
        return [self._whole(row) for row in rows.fetchall()]

    def begin_handing(self, number: int) -> bool:
        """Mark a job as being handed over. False if it was killed, or handed over, meanwhile."""
        found = self._db.execute(
            "UPDATE jobs SET handed = 1 WHERE id = ? AND handed = 0 AND kill_asked = 0", (number,)
        )
        return found.rowcount == 1

    def add_tasks(self, number: int, state: str, count: int) -> list[dict[str, Any]]:
        """Append tasks to a job, and return their rows."""
        first = self._db.execute("SELECT COUNT(*) FROM tasks WHERE job = ?", (number,)).fetchone()[0]
        self._db.executemany(
            "INSERT INTO tasks (job, task, state) VALUES (?, ?, ?)",
            ((number, task, state) for task in range(first, first + count)),
        )
        return self._tasks_of(number, first)

    def change_job(self, number: int, **values: Any) -> None:
        """Set columns of a job."""
        self._change("jobs", "id = :_job", {"_job": number}, values)

    def change_task(self, number: int, task: int, **values: Any) -> None:
        """Set columns of a task."""
        self._change("tasks", "job = :_job AND task = :_task", {"_job": number, "_task": task}, values)

    def change_tasks(self, number: int, **values: Any) -> None:
        """Set columns of all tasks of a job."""
        self._change("tasks", "job = :_job", {"_job": number}, values)

    def add_outputs(self, number: int, task: int, outputs: list[tuple[int | None, dict[str, Any]]]) -> int:
        """Append outputs of a task, each with the item of a map that it is from.

        Returns the number of the first of them.
        """
        first = self._next_output(number)
        self._db.executemany(
            "INSERT INTO outputs (job, task, number, item, output) VALUES (?, ?, ?, ?, ?)",
            ((number, task, first + i, item, json.dumps(output)) for i, (item, output) in enumerate(outputs)),
        )
        self.change_job(number, outputs=first + len(outputs))
        return first

    def _next_output(self, number: int) -> int:
        row = self._db.execute("SELECT outputs FROM jobs WHERE id = ?", (number,)).fetchone()
        return int(row[0])

    def first_output(self, number: int) -> int:
        """The number of the first output that still counts; that of the next one if there is none."""
        row = self._db.execute("SELECT MIN(number) FROM outputs WHERE job = ?", (number,)).fetchone()
        return self._next_output(number) if row[0] is None else int(row[0])

    def outputs(self, number: int, after: int) -> list[dict[str, Any]]:
        """The outputs of a job from number `after` on."""
        rows = self._db.execute(
            "SELECT task, number, output FROM outputs WHERE job = ? AND number >= ? ORDER BY number",
            (number, after),
        )
        return [
            {"task": row["task"], "number": row["number"], "output": json.loads(row["output"])}
            for row in rows
        ]

    def outputs_of(self, number: int, task: int, after: int, limit: int) -> list[dict[str, Any]]:
        """The outputs of a task from number `after` on, so many at most."""
        rows = self._db.execute(
            "SELECT number, output FROM outputs WHERE job = ? AND task = ? AND number >= ? "
            "ORDER BY number LIMIT ?",
            (number, task, after, limit),
        )
        return [{"number": row["number"], "output": json.loads(row["output"])} for row in rows]

    def last_outputs(self, number: int, task: int, limit: int) -> list[dict[str, Any]]:
        """The last outputs of a task, so many at most."""
        rows = self._db.execute(
            "SELECT number, output FROM outputs WHERE job = ? AND task = ? ORDER BY number DESC LIMIT ?",
            (number, task, limit),
        )
        found = [{"number": row["number"], "output": json.loads(row["output"])} for row in rows]
        return found[::-1]

    def forget_outputs(self, number: int, task: int) -> int:
        """Drop a task's outputs and failed items, as it started anew; returns the number that the job's next
        output gets."""
        for table in ("outputs", "items"):
            self._db.execute(f"DELETE FROM {table} WHERE job = ? AND task = ?", (number, task))
        return self._next_output(number)

    def add_failures(self, number: int, task: int, failed: list[tuple[int, dict[str, Any]]]) -> None:
        """Note items of a map that failed, each with its error."""
        self._db.executemany(
            "INSERT OR REPLACE INTO items (job, task, item, ename, evalue) VALUES (?, ?, ?, ?, ?)",
            ((number, task, item, error["ename"], error["evalue"]) for item, error in failed),
        )

    def failed_items(self, number: int) -> list[int]:
        """All items of a job that failed, those of tasks that left nothing aside."""
        rows = self._db.execute("SELECT item FROM items WHERE job = ?", (number,))
        return [int(row[0]) for row in rows]

    def failures(self, number: int, limit: int) -> list[dict[str, Any]]:
        """The first failed items of a job."""
        rows = self._db.execute(
            "SELECT item, ename, evalue FROM items WHERE job = ? ORDER BY item LIMIT ?", (number, limit)
        )
        return [dict(row) for row in rows]

    def item_outputs(self, number: int, limit: int) -> list[tuple[int, list[dict[str, Any]]]]:
        """The first items of a map that have outputs, those that failed before all others, with these."""
        chosen = self._db.execute(
            "SELECT DISTINCT o.item, i.item IS NULL FROM outputs o "
            "LEFT JOIN items i ON i.job = o.job AND i.item = o.item "
            "WHERE o.job = ? AND o.item IS NOT NULL ORDER BY 2, 1 LIMIT ?",
            (number, limit),
        ).fetchall()
        found: dict[int, list[dict[str, Any]]] = {item: [] for item, _ in chosen}
        marks = ", ".join("?" * len(found))
        rows = self._db.execute(
            f"SELECT item, output FROM outputs WHERE job = ? AND item IN ({marks}) ORDER BY number",
            (number, *found),
        )
        for item, output in rows:
            found[item].append(json.loads(output))
        return list(found.items())

    def count_item_outputs(self, number: int) -> int:
        """How many items of a job have outputs."""
        row = self._db.execute("SELECT COUNT(DISTINCT item) FROM outputs WHERE job = ?", (number,)).fetchone()
        return int(row[0])

    def _change(self, table: str, where: str, keys: dict[str, Any], values: dict[str, Any]) -> None:
        sets = ", ".join(f"{name} = :{name}" for name in values)
        plain = {name: _plain(name, value) for name, value in values.items()}
        self._db.execute(f"UPDATE {table} SET {sets} WHERE {where}", {**keys, **plain})

    def _whole(self, row: sqlite3.Row) -> dict[str, Any]:
        job = _rich(row)
        job["tasks"] = self._tasks_of(job["id"])
        job["failures"] = self._failures_of(job)
        job["first"] = self._first(job)
        return job

    def _tasks_of(self, number: int, first: int = 0) -> list[dict[str, Any]]:
        rows = self._db.execute(
            "SELECT * FROM tasks WHERE job = ? AND task >= ? ORDER BY task", (number, first)
        )
        return [_rich(task) for task in rows.fetchall()]

    def _failures_of(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        return self.failures(job["id"], _FAILURES) if job["map"] else []

    def _first(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """The job of whose items a job runs those that failed, with all of these; None if there is none."""
        if not job["map"] or job["map"]["only"] is None or not (first := self.by_token(job["replaces"])):
            return None
        return {**first, "failed_items": self.failed_items(first["id"])}


def _plain(name: str, value: Any) -> Any:
    return json.dumps(value) if name in _JSON and value is not None else value


def _rich(row: sqlite3.Row | dict[str, Any]) -> dict[str, Any]:
    rich = dict(row)
    for name in _JSON & rich.keys():
        text = rich[name]
        if text is not None:  # of ten thousand tasks most lists are empty
            rich[name] = [] if text == "[]" else json.loads(text)
    return rich
