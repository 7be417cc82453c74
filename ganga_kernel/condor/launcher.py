"""The script that starts a payload on a worker, sent along with the job.

    /bin/sh launch PYTHON payload.pyz --job job.json --task N

It is POSIX shell because there may be no Python on the worker, which is what it finds out first.
"""

from __future__ import annotations

__all__ = ["launcher"]

_SCRIPT = r"""#!/bin/sh
# Start a payload on an HTCondor worker:  /bin/sh launch PYTHON payload.pyz --job FILE --task N
# Adds --attempt, keeps the payload's exit code, hands SIGTERM on, and makes sure that N.result
# and N.files exist (HTCondor holds a job whose output file is missing).
python=$1
shift
PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}

task=0
last=
for word in "$@"; do
    [ "$last" = --task ] && task=$word
    last=$word
done

# How often the job was started before this run; HTCondor counts from 0.
starts=
if [ -r "${_CONDOR_JOB_AD:-}" ]; then
    starts=$(sed -n 's/^NumJobStarts *= *\([0-9][0-9]*\).*/\1/p' "$_CONDOR_JOB_AD")
fi
attempt=$((${starts:-0} + 1))

json() { printf '%s' "$1" | tr '\n\r\t' '   ' | sed 's/[\\"]/\\&/g'; }

# The one event of a payload that could not be started.
broken() {
    host=$(hostname 2>/dev/null || uname -n)
    text="The worker $host $1: $python."
    text="$text Choose a Python that the workers have, or send the job where this one is."
    printf '{"attempt": %d, "seq": 0, "time": %d, "event": "end", "status": "broken", ' \
        "$attempt" "$(date +%s)"
    printf '"error": {"ename": "PythonNotFound", "evalue": "%s", "traceback": []}, ' \
        "$(json "$text")"
    printf '"result": null, "usage": {"wall": 0, "cpu": 0, "memory": 0}}\n'
    echo "launch: $text" >&2
    code=3
}

if [ -f "$python" ] && [ -x "$python" ]; then
    child=
    stop=
    trap 'stop=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM
    "$python" "$@" --attempt "$attempt" </dev/null &
    child=$!
    [ -z "$stop" ] || kill -TERM "$child" 2>/dev/null
    wait "$child"
    code=$?
    # A signal ends the wait, not the payload.
    while kill -0 "$child" 2>/dev/null; do
        wait "$child"
        code=$?
    done
    # The payload never ends with these: the shell could not start it.
    case $code in 126 | 127) broken "cannot run its own Python at" ;; esac
else
    broken "has no Python at"
fi
for file in "$task.result" "$task.files"; do
    [ -e "$file" ] || : >"$file"
done
exit "$code"
"""


def launcher() -> str:
    """The script's text; the same for every job.

    Its exit code is the payload's (128 + N if signal N ended it). If PYTHON can't be run on the
    worker it prints one ``end`` event with status ``broken`` and exits with 3.
    """
    return _SCRIPT
