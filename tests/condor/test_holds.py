"""Jobs that HTCondor really puts on hold, each for another reason, and what is said of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganga_kernel.condor.holds import explain
from tests.condor.conftest import Cluster

Submit = Callable[..., Cluster]
#: A job that opens its files on its machine, where those are seen too.
ON_THE_SPOT: dict[str, Any] = {
    "output_files": None,
    "commands": {"should_transfer_files": "NO", "when_to_transfer_output": "", "stream_output": "false"},
}
#: By what makes HTCondor hold it: fields of a job, the code and subcode, and how the sentence begins. 102 and
#: 104 of code 34 need a machine that limits memory and disk; for these see tests/unit/test_condor_holds.py.
PROVOKED: dict[str, tuple[dict[str, Any], int, int | None, str]] = {
    "periodic_hold": (
        {"commands": {"periodic_hold": "JobStatus == 2"}}, 3, 0,
        "A condition of the job's own (periodic_hold or on_exit_hold) came true. %release 7",
    ),
    "on_exit_hold": (
        {"arguments": ["-c", "exit 4"], "commands": {"on_exit_hold": "ExitCode == 4"}}, 3, None,
        "A condition of the job's own (periodic_hold or on_exit_hold) came true. %release 7",
    ),
    "a policy for memory": (
        {"commands": {"periodic_hold": "JobStatus == 2",
                      "periodic_hold_reason": '"memory usage exceeded request_memory"'}}, 3, 0,
        "It used more memory than it was given. Ask for more and let it start anew: %job 7 --memory",
    ),
    "no program": (
        {"executable": "/nowhere/program"}, 6, 2,
        "Its program could not be started on the machine. The system's error was: No such file or directory.",
    ),
    "no stream of its output": (
        {"output": "nowhere/{task}.events"}, 9, None,
        "The stream of its output could not be opened. It may be that machine only: %release 7 tries",
    ),
    "no folder for its output": (
        {**ON_THE_SPOT, "output": "nowhere/{task}.events"}, 7, 2,
        "The file for its output could not be opened. The system's error was: No such file or directory.",
    ),
    "no standard input": (
        {**ON_THE_SPOT, "commands": {**ON_THE_SPOT["commands"], "input": "/nowhere/input"}}, 8, 2,
        "The file of its standard input could not be opened. The system's error was: No such file",
    ),
    "no result": (
        {"arguments": ["-c", "true"], "output_files": ["0.result"]}, 12, 2,
        "Its results could not be brought back. The system's error was: No such file or directory.",
    ),
    "no input file": (
        {"input_files": ["/nowhere/data"]}, 13, 2,
        "A file that it needs could not be sent to it. The system's error was: No such file or directory.",
    ),
    "too much input": (
        {"input_files": ["{folder}/large"], "commands": {"max_transfer_input_mb": "1"}}, 32, None,
        "Its input files are larger than the schedd allows. Send less",
    ),
    "too large a result": (
        {"arguments": ["-c", "head -c 3000000 /dev/zero > 0.result"], "output_files": ["0.result"],
         "commands": {"max_transfer_output_mb": "1"}}, 33, None,
        "Its results are larger than the schedd allows. Let the cell keep less",
    ),
    "too long": (
        {"max_runtime": 1}, 46, None,
        "It took longer, its file transfers included, than it was allowed to. Give it more time",
    ),
    "runs too long": (
        {"commands": {"allowed_execute_duration": "1"}}, 47, None,
        "It ran longer than it was allowed to. Give it more time and let it start anew: %job 7 --runtime",
    ),
}  # fmt: skip


def test_each_reason_has_its_sentence(submit: Submit, tmp_path: Path) -> None:
    found = {}
    (tmp_path / "large").write_bytes(bytes(3_000_000))
    for name, (fields, *_) in PROVOKED.items():
        folder = tmp_path / name
        folder.mkdir()
        inputs = [one.format(folder=tmp_path) for one in fields.get("input_files", ())]
        asked = {"arguments": ["-c", "sleep 100"], **fields, "input_files": inputs, "folder": folder}
        found[name] = submit(**asked)
    for name, (_, code, subcode, sentence) in PROVOKED.items():
        print(name)  # the one that isn't held, if the wait fails
        held = found[name].wait_for("held")
        assert held.code == code, (name, held)
        assert subcode in (None, held.subcode), (name, held)
        told = explain(held.code, held.subcode, held.reason, 7)
        assert told.startswith(sentence), (name, told)
        assert told.endswith(f"HTCondor says: {held.reason.rstrip('.')}."), name


def test_a_hold_by_hand_has_its_sentence(submit: Submit) -> None:
    cluster = submit(arguments=["-c", "sleep 100"])
    cluster.wait_for("running")
    cluster.schedd.hold(str(cluster.number), "wait a bit")
    held = cluster.wait_for("held")
    assert explain(held.code, held.subcode, held.reason, 7).startswith(
        "Somebody put it on hold with %hold or condor_hold. %release 7 lets it go on."
    )
