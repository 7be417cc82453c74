"""``--set``, and the check of what HTCondor gets verbatim."""

from __future__ import annotations

import pytest

from ganga_kernel.broker import backends
from ganga_kernel.condor.check import check, where
from ganga_kernel.errors import GangaKernelError, OptionError
from ganga_kernel.options import from_line, from_mapping
from ganga_kernel.submitcommands import Command

FLAVOUR = Command("+JobFlavour", '"longlunch"')


@pytest.mark.parametrize(
    "line",
    ['--set +JobFlavour="longlunch"', "--set '+JobFlavour=\"longlunch\"'", '--set=+JobFlavour="longlunch"'],
)
def test_the_quotes_of_a_value_are_kept(line: str) -> None:
    assert from_line(line).set == (FLAVOUR,)
    assert from_line(from_line(line).describe()).set == (FLAVOUR,)


def test_tags_and_metadata_give_several() -> None:
    expected = (FLAVOUR, Command("concurrency_limits", "db:2"))
    assert from_mapping({"set": ['+JobFlavour="longlunch"', "concurrency_limits=db:2"]}, "").set == expected
    assert (
        from_mapping({"set": {"+JobFlavour": '"longlunch"', "concurrency_limits": "db:2"}}, "").set
        == expected
    )


def test_a_stronger_source_replaces_what_it_sets_and_no_more() -> None:
    weak = from_line('--set +JobFlavour="longlunch" --set priority=3')
    assert from_line('--set MY.JobFlavour="tomorrow"').over(weak).set == (
        Command("MY.JobFlavour", '"tomorrow"'),
        Command("priority", "3"),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("priority", "KEY=VALUE"),
        ("priority=", "KEY=VALUE"),
        ("a b=1", "no submit command"),
        ("Request_Memory=4GB", "--memory"),
        ("+JobFlavour=longlunch", "a text has quotes"),
        ("priority=1 --set PRIORITY=2", "set twice"),
        ("+X=1 --set MY.X=2", "set twice"),
    ],
)
def test_mistakes_are_told(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        from_line(f"--set '{text.replace(' --set ', chr(39) + ' --set ' + chr(39))}'")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("Memory > (100", "", "", {}), "--requirements .* Memory > \\(100\nIt misses 1 closing bracket"),
        (("", "Mips +", "", {}), "--rank .*\nIt can be read up to 'Mips', but not on from '\\+'"),
        (("", "", "", {"+X": "1 2"}), "--set \\+X .*\nIt can be read up to '1', but not on from '2'"),
        (("", "", "", {"periodic_hold": ")"}), "--set periodic_hold .*from its very beginning"),
        (("", "", "", {"priority": "$(nothing)"}), "--set priority comes out empty"),
        (("", "", "", {"log": "/dev/null"}), "command log can't be given"),
        (("", "", "", {"max_retries": "3"}), "command max_retries can't be given"),
        (("a\nb", "", "", {}), "requirements contains"),
    ],
)
def test_what_htcondor_can_t_read_is_refused_by_name_and_place(given: tuple, said: str) -> None:
    with pytest.raises(GangaKernelError, match=f"(?is){said}"):
        check(*given)


def test_what_it_can_read_passes() -> None:
    commands = {"+JobFlavour": '"longlunch"', "MY.A": "RequestMemory * 2", "concurrency_limits": "a:2,b"}
    check('Arch == "X86_64" && Memory > 100', "-Mips", "physics.higgs", commands)
    check("", "", "", {})


def test_a_place_lies_behind_the_longest_part_that_is_whole() -> None:
    assert "'a'" in where("a b", lambda text: text == "a")


def test_other_backends_refuse_submit_commands() -> None:
    with pytest.raises(GangaKernelError, match="Local can't be asked for set"):
        backends.check_resources("Local", {"memory": 1, "set": [["priority", "1"]]})
    with pytest.raises(GangaKernelError, match="Slurm can't be asked for retries yet"):
        backends.check_resources("Slurm", {"retries": 1})
    backends.check_resources("Local", {"memory": 1})
