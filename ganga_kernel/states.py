"""The states that a user can see, with a sentence each: the one table that panel, text and docs share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class State:
    """One row of the table.

    Attributes
    ----------
    name: the word in the store, on the wire and in ``%jobs``
    sentence: what it means, for the user
    remedy: what can be done about it; empty if there is nothing to do
    colour: CSS colour of its badge
    ended: nothing more will happen to a job in this state by itself
    """

    name: str
    sentence: str
    remedy: str
    colour: str
    ended: bool = False


STATES: dict[str, State] = {
    state.name: state
    for state in (
        State("waiting", "The job waits for the jobs whose names its cell reads.", "", "#6c757d"),
        State("accepted", "The job is stored; it is handed to the backend next.", "", "#6c757d"),
        State("queued", "The job waits in the backend's queue.", "", "#b8860b"),
        State("running", "The job runs.", "", "#0b6bcb"),
        State("held", "The job is on hold.", "", "#c2410c"),  # what can be done depends on why
        State("done", "The job ended and its results arrived.", "", "#1a7f37", ended=True),
        State("failed", "The cell raised an error.", "See the traceback below the panel.", "#b42318",
              ended=True),
        State("broken", "The cell could not be run.",
              "Mend the cause, and run the cell again or %resubmit the job.", "#b42318", ended=True),
        State("lost", "The job ended without a word from the cell: it was killed or crashed.",
              "Run the cell again, or %resubmit the job, perhaps with more --memory.", "#b42318", ended=True),
        State("refused", "The backend didn't take the job.", "Mend the cause and run the cell again.",
              "#b42318", ended=True),
        State("skipped", "The job was not started, since one that it needs did not end well.",
              "Mend that one, and run both cells again, or %resubmit both jobs.", "#b42318", ended=True),
        State("killed", "The job was killed on request.", "Run the cell again, or %resubmit the job.",
              "#6c757d", ended=True),
    )
}  # fmt: skip


def ended(state: str) -> bool:
    """Whether nothing more will happen to a job in this state by itself."""
    return STATES[state].ended
