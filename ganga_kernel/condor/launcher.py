"""The script that starts a payload on a worker, sent along with the job.

    /bin/sh launch PYTHON SETUP payload.pyz --job job.json --task N

It is POSIX shell because there may be no Python on the worker, which is what it finds out first.
"""

from __future__ import annotations

__all__ = ["launcher"]

_SCRIPT = r"""#!/bin/sh
# Start a payload on a worker:  /bin/sh launch PYTHON SETUP payload.pyz --job FILE --task N
# PYTHON is a path, a name that is looked up, or the archive of an environment, which is unpacked.
# SETUP is run by bash before, if it isn't empty.
# Adds --attempt, keeps the payload's exit code, hands SIGTERM on, and makes sure that the result
# file, and that of files, exist (HTCondor holds a job whose output file is missing).
python=$1
setup=$2
shift 2
PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}
export PATH

task=0
events=
result=
last=
for word in "$@"; do
    case $last in
        --task) task=$word ;;
        --events) events=$word ;;
        --result) result=$word ;;
    esac
    last=$word
done
result=${result:-$task.result}

# How often the job was started before this run; HTCondor counts from 0.
starts=
if [ -r "${_CONDOR_JOB_AD:-}" ]; then
    starts=$(sed -n 's/^NumJobStarts *= *\([0-9][0-9]*\).*/\1/p' "$_CONDOR_JOB_AD")
fi
attempt=$((${starts:-0} + 1))

json() { printf '%s' "$1" | tr '\n\r\t' '   ' | tr -d '\000-\037' | sed 's/[\\"]/\\&/g'; }

# The one event of a payload that could not be started.
broken() {
    text="The worker $(hostname 2>/dev/null || uname -n) $2"
    event=$(
        printf '{"attempt": %d, "seq": 0, "time": %d, "event": "end", "status": "broken", ' \
            "$attempt" "$(date +%s)"
        said=$(json "$text")
        printf '"error": {"ename": "%s", "evalue": "%s", "traceback": ["%s"]}, ' "$1" "$said" "$said"
        printf '"result": null, "usage": {"wall": 0, "cpu": 0, "memory": 0}}'
    )
    if [ -n "$events" ]; then
        printf '%s\n' "$event" >>"$events"
    else
        printf '%s\n' "$event"
    fi
    echo "launch: $text" >&2
    code=3
}

choose='Choose one that the workers have with --python, --setup or --container,'
choose="$choose send the notebook's own along with --pack, or send the job where this one is."

# Run something as the child that SIGTERM is handed on to, and keep its exit code.
child=
stop=
trap 'stop=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM
start() {
    "$@" </dev/null &
    child=$!
    [ -z "$stop" ] || kill -TERM "$child" 2>/dev/null
    wait "$child"
    code=$?
    # A signal ends the wait, not the child.
    while kill -0 "$child" 2>/dev/null; do
        wait "$child"
        code=$?
    done
}

# The payload itself never ends with 126 or 127: then the shell could not start it.
missing() {
    case $code in
        126) broken PythonNotFound "cannot run its own Python at $python. $choose" ;;
        127) broken PythonNotFound "has no Python at $python. $choose" ;;
    esac
}

# Where an environment is unpacked for all jobs of this user on this host. Each week anew, since
# hosts clear their /tmp of what is old, file by file.
shared=/tmp/ganga-kernel-$(id -u)
week=$(date +%G%V)

# Whether that folder is the user's own, and nobody else's to write.
own() {
    mkdir -m 700 "$shared" 2>/dev/null
    [ -d "$shared" ] && [ ! -L "$shared" ] && [ -O "$shared" ] || return
    case $(ls -ld "$shared") in drwx------*) ;; *) return 1 ;; esac
}

# Whether the disk of folder $1 has $2 KB left.
room() { [ "$(df -Pk "$1" | awk 'END { print $4 }')" -ge "$2" ]; }

# Unpack archive $1 as folder $2, which is whole once it has a file .ready. An environment of conda's has
# paths in its files, which are set to where it is now.
unpack() {
    rm -rf "$2" "$2.new"
    said=$(
        export LC_ALL=C
        exec 2>&1
        mkdir "$2.new" && gzip -dc "$1" | tar -moxf - -C "$2.new" && mv "$2.new" "$2"
        [ ! -e "$2/bin/conda-unpack" ] || "$2/bin/python" "$2/bin/conda-unpack"
    )
    if [ -z "$said" ] && : >"$2/.ready"; then return; fi
    rm -rf "$2" "$2.new"
    return 1
}

# Unpack it for all jobs, if none has yet. Another that does so at the same time is waited for.
unpack_shared() {
    command -v flock >/dev/null && own || return
    place=$shared/$1-$week
    exec 9>"$shared/$1.lock"
    flock 9
    if [ ! -e "$place/.ready" ]; then
        find "$shared" -mindepth 1 -maxdepth 1 -mtime +21 -exec rm -rf {} +
        room "$shared" "$2" && unpack "$python" "$place"
    fi
    status=$?
    exec 9>&-
    return $status
}

# An environment that was sent along: pack-DIGEST-MACHINE-GLIBC-KB.tar.gz
use_pack() {
    IFS=- read -r _ digest machine glibc kb <<END
${python%.tar.gz}
END
    has=$(getconf GNU_LIBC_VERSION 2>/dev/null)
    free=$(df -Pk . | awk 'END { print $4 }')
    what="the notebook's environment"
    elsewhere='Send the job to other workers with --requirements, or run the notebook on a machine like'
    elsewhere="$elsewhere these workers."
    if [ "$(uname -m)" != "$machine" ]; then
        broken PackDoesNotFit "is of the kind $(uname -m), and $what is for $machine. $elsewhere"
    elif [ "${has#glibc 2.}" = "$has" ] || [ "${has#glibc 2.}" -lt "${glibc#2.}" ]; then
        broken PackDoesNotFit "has ${has:-no glibc}, and $what needs glibc $glibc. $elsewhere"
    elif unpack_shared "$digest" "$kb"; then
        packed=$place
    elif [ "$free" -lt "$kb" ]; then
        needs="$what needs $((kb / 1024)) MB"
        broken DiskFull "has $((free / 1024)) MB of disk left for the job, and $needs. $more"
    elif unpack "$python" "$PWD/.environment"; then
        packed=$PWD/.environment
    else
        case $said in
            *'No space left'* | *'quota exceeded'* | *'Wrote only'*)
                broken DiskFull "had no disk left for the job while $what was unpacked. $more" ;;
            *)
                said=$(echo "$said" | grep . | head -n 1)
                broken PackDamaged "could not unpack $what: $said. Run the cell again." ;;
        esac
    fi
    [ -n "$packed" ] || return
    rm -f "$python"
    unset PYTHONHOME PYTHONPATH
    export PYTHONNOUSERSITE=1
    python=$packed/bin/python
    PATH=$packed/bin:$PATH
}

packed=
more='Ask for more with --disk.'
code=0
case $python in
    pack-*.tar.gz) use_pack ;;
esac
if [ "$code" -ne 0 ]; then
    :
elif [ -z "$setup" ]; then
    found=$(command -v "$python") || found=$python
    if [ -f "$found" ] && [ -x "$found" ]; then
        start "$found" "$@" --attempt "$attempt"
        [ "$code" -ne 127 ] || code=126
    else
        code=127
    fi
    missing
elif ! command -v bash >/dev/null; then
    broken SetupFailed "has no bash, in which --setup runs."
else
    # What it says goes to standard error. It has done its work once its output is gone: it may end the
    # shell, and what it ends that with must not pass for the payload's own exit code.
    said=$result.setup
    before=$result.before
    start env -u BASH_ENV _GANGA_KERNEL_SETUP="$setup" _GANGA_KERNEL_PYTHON="$python" bash -c '
        said=$1 before=$2
        shift 2
        env -0 >"$before" || exit
        eval "$_GANGA_KERNEL_SETUP" >"$said" 2>&1 || exit
        cat "$said" >&2
        rm -f "$said"
        found=$(command -v -- "$_GANGA_KERNEL_PYTHON") || exit 127
        unset _GANGA_KERNEL_SETUP _GANGA_KERNEL_PYTHON
        _GANGA_KERNEL_BEFORE=$before exec "$found" "$@"
    ' setup "$said" "$before" "$@" --attempt "$attempt"
    if [ -e "$said" ] && [ -z "$stop" ]; then
        cat "$said" >&2
        words=$(grep . "$said" | tail -n 1)
        text="could not run --setup $setup: it ended with exit code $code${words:+ ($words)}."
        broken SetupFailed "$text Mend it; if that code means no failure, end it with: ; true"
    else
        missing
    fi
    rm -f "$said" "$before"
fi
for file in "$result" "${result%.result}.files"; do
    [ -e "$file" ] || : >"$file"
done
exit "$code"
"""


def launcher() -> str:
    """The script's text; the same for every job.

    Its exit code is the payload's (128 + N if signal N ended it). If SETUP fails, or PYTHON can't be run on
    the worker, it reports one ``end`` event with status ``broken`` and exits with 3. A payload that SETUP
    preceded finds in ``_GANGA_KERNEL_BEFORE`` the file of the environment before it (``env -0``).
    """
    return _SCRIPT
