"""Why HTCondor put a job on hold, and what to do about it: a sentence for each of its hold codes. Pure.

The codes are from HTCondor's manual, "Hold Reason Codes"
(https://htcondor.readthedocs.io/en/latest/codes-other-values/hold-reason-codes.html).
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple


class Hold(NamedTuple):
    """What a hold code means.

    Attributes
    ----------
    cause: a sentence
    remedy: what the user can do; ``{job}`` stands for the job's number, ``{more}`` for a larger size
    """

    cause: str
    remedy: str


_RELEASE = "%release {job} lets it go on."
_AGAIN = "%kill {job} ends it; then mend the cause and run the cell again."
_RETRY = "It may be that machine only: %release {job} tries another time."
_ASK = "Ask whoever runs the pool, with HTCondor's own words."
_MORE_MEMORY = "Ask for more and let it start anew: %job {job} --memory {more}, then %release {job}."
_MORE_DISK = "Ask for more and let it start anew: %job {job} --disk {more}, then %release {job}."
_LONGER = "Give it more time and let it start anew: %job {job} --runtime 2h, then %release {job}."
_LESS = "Send less: large files are better read from where they are. " + _AGAIN

_HOLDS: dict[int, Hold] = {
    1: Hold("Somebody put it on hold with %hold or condor_hold.", _RELEASE),
    3: Hold("A condition of the job's own (periodic_hold or on_exit_hold) came true.", _RELEASE),
    4: Hold("The job's credentials are not valid (any more).", "Log in anew, then %release {job}."),
    5: Hold("A condition of the job's own can't be evaluated.", _AGAIN),
    6: Hold("Its program could not be started on the machine.", _RETRY),
    7: Hold("The file for its output could not be opened.", "See that the disk of the spool has space and "
            "can be written, then %release {job}."),
    8: Hold("The file of its standard input could not be opened.", _AGAIN),
    9: Hold("The stream of its output could not be opened.", _RETRY),
    10: Hold("The stream of its input could not be opened.", _RETRY),
    11: Hold("The transfer of files went wrong within HTCondor.", _RETRY),
    12: Hold("Its results could not be brought back.", "See that the disk of the spool has space; if the "
             "cell ended the whole process, that is the cause. %release {job} runs it anew."),
    13: Hold("A file that it needs could not be sent to it.", "If that file is there again, %release {job}; "
             "else %kill {job}, and run the cell again."),
    14: Hold("The job's folder can't be reached by HTCondor.", "See that the state folder is where HTCondor "
             "can write (GangaKernel.state_dir), then %release {job}."),
    15: Hold("It was submitted on hold.", _RELEASE),
    16: Hold("Its input files are still on their way to the schedd.", "It goes on by itself."),
    17: Hold("The schedd has no program that can supervise such a job.", _ASK),
    18: Hold("The transfer of files went wrong within HTCondor.", _RETRY),
    19: Hold("The machine's own preparation for jobs failed.", _RETRY),
    20: Hold("It missed the time at which it was to start.", _AGAIN),
    21: Hold("The machine on which it ran put it on hold by a rule of its own.", _RETRY),
    22: Hold("Its event log could not be begun.", "See that the state folder can be written by HTCondor, "
             "then %release {job}."),
    23: Hold("HTCondor can't act as your user there.", _ASK),
    24: Hold("The schedd has no program that can supervise such a job.", _ASK),
    25: Hold("Its settings for a time to start are not valid.", _AGAIN),
    26: Hold("A rule of the schedd put it on hold.", "HTCondor's own words may say which rule; mend what it "
             "names, then %release {job}, or ask whoever runs the schedd."),
    27: Hold("A rule of the schedd can't be evaluated for this job.", _ASK),
    32: Hold("Its input files are larger than the schedd allows.", _LESS),
    33: Hold("Its results are larger than the schedd allows.", "Let the cell keep less, or write large data "
             "to a storage of your site. " + _AGAIN),
    34: Hold("It used more of a resource than it was given.", "Ask for more: %job {job} --memory or --disk, "
             "then %release {job}."),
    35: Hold("The container image can't be used.", _AGAIN),
    36: Hold("It failed when it was told to save its state.", _RELEASE),
    43: Hold("The script that was to run before it failed.", _RETRY),
    44: Hold("The script that was to run after it failed.", _RETRY),
    45: Hold("The machine can't run containers, although it said that it could.", _RETRY),
    46: Hold("It took longer, its file transfers included, than it was allowed to.", _LONGER),
    47: Hold("It ran longer than it was allowed to.", _LONGER),
    48: Hold("The schedd's own preparation for the job failed.", _ASK),
}  # fmt: skip
#: For code 34: which resource the subcode means.
_RESOURCES = {
    102: Hold("It used more memory than it was given.", _MORE_MEMORY),
    104: Hold("It used more disk than it was given.", _MORE_DISK),
}
_UNKNOWN = Hold("HTCondor put it on hold.", "Mend the cause, then %release {job}; or %kill {job}.")
#: Codes whose subcode is a Unix error number.
_ERRNO = frozenset({6, 7, 8, 9, 10, 12, 13, 14})
_LIMIT = re.compile(r"limit of (\d+(?:\.\d+)?) *(k|m|g)", re.IGNORECASE)
_MEGABYTES = {"k": 2**-10, "m": 1, "g": 2**10}
#: Codes of policies: the job's own, a machine's, a schedd's. Their words say what it is about.
_POLICIES = frozenset({3, 21, 26})
_MUCH = r"\b(exceed|limit|over|more than|too much)"
_TOO_MUCH_MEMORY = re.compile(rf"\bmemory\b.*{_MUCH}|{_MUCH}.*\bmemory\b", re.IGNORECASE)


def is_for_memory(code: int | None, subcode: int | None, said: str) -> bool:
    """Whether a job is on hold since it used more memory than it was given.

    HTCondor has a code for it where it limits memory itself; the policies of other sites say it in words.

    Parameters
    ----------
    code, subcode, said: see `explain`
    """
    if code == 34:
        return subcode == 102
    return code in _POLICIES and bool(_TOO_MUCH_MEMORY.search(said))


def explain(code: int | None, subcode: int | None, said: str, job: int) -> str:
    """Why a job is on hold, and what to do, in plain words, with HTCondor's own at the end.

    Parameters
    ----------
    code, subcode: HTCondor's HoldReasonCode and HoldReasonSubCode
    said: its HoldReason
    job: our number of the job
    """
    hold = _HOLDS.get(code or 0, _UNKNOWN)
    if code == 34:
        hold = _RESOURCES.get(subcode or 0, hold)
    elif is_for_memory(code, subcode, said):
        hold = _RESOURCES[102]
    why = _system_error(code, subcode)
    remedy = hold.remedy.format(job=job, more=_more(said))
    words = f"HTCondor says: {said.rstrip('.')}." if said else ""
    return " ".join(filter(None, (hold.cause, why, remedy, words)))


def _system_error(code: int | None, subcode: int | None) -> str:
    """The system's word for an error number, where the subcode is one."""
    if code not in _ERRNO or not subcode or not 0 < subcode < 134:
        return ""
    return f"The system's error was: {os.strerror(subcode)}."


def _more(said: str) -> str:
    """Twice the limit that HTCondor names; 4GB if it names none."""
    found = _LIMIT.search(said)
    return f"{2 * float(found[1]) * _MEGABYTES[found[2].lower()]:.0f}MB" if found else "4GB"
