from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganga_kernel.condor.description import (
    JobSpec,
    Task,
    describe,
    late,
    protect,
    quote_arguments,
    quote_environment,
)
from ganga_kernel.errors import SubmitRefused

# What a submit description can say; newlines and the like are refused.
TEXT = st.text(st.characters(exclude_characters="\n\r\0\x1f", exclude_categories=["Cs"]), max_size=30).filter(
    lambda text: "$(dollar" not in text.lower()
)


def expand(value: str) -> str:
    """What HTCondor makes of a value: first the submit's $(DOLLAR), then the match's $$(…)."""
    value = value.replace("$$(DOLLARDOLLAR)", "\n")
    value = value.replace("$(DOLLAR)", "\r")
    assert "$" not in value, "an unprotected $ is left"
    return value.replace("\r", "$").replace("\n", "$$")


def parse(value: str) -> list[str]:
    """Split an argument string in HTCondor's "new" syntax, as its manual says."""
    assert value[0] == value[-1] == '"'
    inner = value[1:-1].replace('""', '"')
    words: list[str] = []
    word: str | None = None
    quoted = False
    position = 0
    while position < len(inner):
        char = inner[position]
        if char == "'":
            if quoted and inner[position + 1 : position + 2] == "'":
                word = (word or "") + "'"
                position += 1
            else:
                quoted = not quoted
                word = word or ""
        elif char == " " and not quoted:
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + char
        position += 1
    assert not quoted
    return words if word is None else [*words, word]


@given(st.lists(TEXT, max_size=5))
def test_arguments_survive_quoting(arguments: list[str]) -> None:
    arguments = [text.replace("{task}", "") for text in arguments]
    assert parse(expand(quote_arguments(arguments))) == arguments


@given(TEXT)
def test_protected_text_expands_to_itself(text: str) -> None:
    assert expand(protect(text, "it")) == text


def test_environment_is_quoted_as_arguments_are() -> None:
    assert quote_environment({"A": "1 2", "B": "it's"}) == "\"'A=1 2' 'B=it''s'\""


@pytest.mark.parametrize("name", ["", "A=B", "A B", "A\n"])
def test_impossible_environment_names_are_refused(name: str) -> None:
    with pytest.raises(SubmitRefused, match="environment variable"):
        quote_environment({name: "x"})


def test_a_plain_job() -> None:
    lines, items = describe(JobSpec(executable="/bin/true", folder="/spool/a b"))
    assert lines == {
        "universe": "vanilla",
        "executable": "/bin/true",
        "transfer_executable": "false",
        "arguments": '""',
        "environment": '""',
        "getenv": "false",
        "initialdir": "/spool/a b",
        "output": "/spool/a b/$(task).events",
        "error": "/spool/a b/$(task).stderr",
        "log": "/spool/a b/condor.log",
        "stream_output": "true",
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT",
        "transfer_output_files": '""',
        "notification": "never",
    }
    assert items == [{"task": "0"}]


def test_all_there_is_to_ask_for() -> None:
    lines, items = describe(
        JobSpec(
            executable="/bin/sh",
            folder="/spool/$x",
            arguments=["launch", "--task", "{task}"],
            input_files=["/a/job.json", "/b/pay load.pyz"],
            output_files=["{task}.result"],
            memory=2000,
            disk=3,
            cpus=2,
            gpus=1,
            max_runtime=3600,
            requirements="HasGPU",
            rank="Memory",
            accounting_group="g.u",
            batch_name='say "hi"',
            attributes={"GangaKernelJob": "tok\\en"},
            extra={"+JobFlavour": '"longlunch"', "request_x": "$(task)"},
        ),
        [Task("3"), Task("5")],
    )
    wanted = {
        "arguments": "\"'launch' '--task' '$(task)'\"",
        "initialdir": "/spool/$(DOLLAR)x",
        "transfer_input_files": "/a/job.json, /b/pay load.pyz",
        "transfer_output_files": "$(task).result",
        "request_memory": "2000",
        "request_disk": "3072",
        "request_cpus": "2",
        "request_gpus": "1",
        "allowed_job_duration": "3600",
        "requirements": "HasGPU",
        "rank": "Memory",
        "accounting_group": "g.u",
        "MY.JobBatchName": '"say \\"hi\\""',
        "MY.GangaKernelJob": '"tok\\\\en"',
        "+JobFlavour": '"longlunch"',
        "request_x": "$(task)",
    }
    assert {name: lines[name] for name in wanted} == wanted
    assert items == [{"task": "3"}, {"task": "5"}]


def test_a_task_may_differ() -> None:
    lines, items = describe(
        JobSpec(executable="/bin/sh", folder="/out", arguments=["all"], output="stdout"),
        [Task("0", arguments=["own $x"], environment={"A": "1"}, folder="/out/0"), Task("1")],
    )
    assert lines["arguments"] == "$(task_arguments)"
    assert lines["output"] == "$(task_folder)/stdout"
    assert lines["log"] == "/out/condor.log"
    assert items == [
        {
            "task": "0",
            "task_arguments": "\"'own $(DOLLAR)x'\"",
            "task_environment": "\"'A=1'\"",
            "task_folder": "/out/0",
        },
        {
            "task": "1",
            "task_arguments": "\"'all'\"",
            "task_environment": '""',
            "task_folder": "/out",
        },
    ]


def test_every_new_file_if_none_is_named() -> None:
    lines, _ = describe(JobSpec(executable="/bin/true", folder="/out", output_files=None))
    assert "transfer_output_files" not in lines


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"arguments": ["a\nb"]}, r"An argument contains '\\n'"),
        ({"arguments": ["$(DOLLAR)"]}, r"contains \$\(DOLLAR\)"),
        ({"environment": {"A": "\0"}}, "An argument contains"),
        ({"folder": "relative"}, "needs an absolute path"),
        ({"folder": "/a\\"}, "ends with a backslash"),
        ({"folder": "/a "}, "ends with a space"),
        ({"folder": "/a$$b"}, r"\$\$"),
        ({"input_files": ["/a,b"]}, "comma in its path"),
        ({"input_files": ["b"]}, "An input file needs an absolute path"),
        ({"output_files": ["/etc/passwd"]}, "within the job's folder"),
        ({"output_files": ["../x"]}, "within the job's folder"),
        ({"memory": 0}, "request_memory can't be 0"),
        ({"max_runtime": -1}, "allowed_job_duration can't be -1"),
        ({"requirements": "a\nqueue 100"}, "Requirements contains"),
        ({"attributes": {"a b": "x"}}, "can't be an attribute"),
        ({"attributes": {"a": "x\ny"}}, "The attribute a contains"),
        ({"extra": {"queue": "3"}}, "can't be given as an extra one"),
        ({"extra": {"Output": "x"}}, "can't be given as an extra one"),
        ({"extra": {"a b": "x"}}, "isn't a submit command"),
        ({"extra": {"x": "y\nqueue"}}, "contains"),
        ({"extra": {"x": "y\\"}}, "ends with a backslash"),
    ],
)
def test_what_cannot_be_said_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(SubmitRefused, match=words):
        describe(JobSpec(**{"executable": "/bin/true", "folder": "/out", **fields}))


def test_a_job_without_tasks_is_refused() -> None:
    with pytest.raises(SubmitRefused, match="no task"):
        describe(JobSpec(executable="/bin/true", folder="/out"), [])


def test_a_task_name_is_plain() -> None:
    with pytest.raises(SubmitRefused, match="can't be named"):
        describe(JobSpec(executable="/bin/true", folder="/out"), [Task("../0")])


@pytest.mark.parametrize(
    ("procs", "max_idle", "said", "expected"),
    [
        (11, 10, {}, {"max_idle": "10"}),
        (10, 10, {}, {}),
        (10_000, 0, {}, {}),
        (11, 10, {"Max_Materialize": "3"}, {"Max_Materialize": "3"}),
        (11, 10, {"max_idle": "3"}, {"max_idle": "3"}),
    ],
)
def test_many_procs_come_into_the_queue_by_and_by_unless_the_description_says_how(
    procs: int, max_idle: int, said: dict[str, str], expected: dict[str, str]
) -> None:
    assert late(said, procs, max_idle) == expected
