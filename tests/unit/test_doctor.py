"""What ``ganga-kernel doctor`` says, without the things that it looks at."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganga_kernel.condor import lifetimes
from ganga_kernel.doctor import credentials, folders
from ganga_kernel.doctor.finding import FAILURE, NOTE, OK, WARNING, Finding, as_text, summary
from ganga_kernel.filesystems import kind_of


def token(**claims: object) -> str:
    """A token with these claims, signed by nobody."""
    return "head." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + ".sign"


def test_findings_are_told_area_by_area_with_their_remedies() -> None:
    text = as_text(
        [
            Finding("Jupyter", OK, "It is there."),
            Finding("Folders", FAILURE, "State: it can't be written. " + "So " * 50, "Set another."),
            Finding("Folders", WARNING, "Spool: it is nearly full."),
            Finding("HTCondor", NOTE, "There is none."),
        ]
    )
    lines = text.splitlines()
    assert lines[:4] == ["Jupyter", "  ok    It is there.", "", "Folders"]
    assert lines[4].startswith("  FAIL  State: it can't be written.") and lines[5].startswith("        So")
    assert "        -> Set another." in lines and "  warn  Spool: it is nearly full." in lines
    assert lines[-1] == "1 failure and 1 warning."
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ([OK, NOTE], "All that is needed works."),
        ([OK, WARNING, WARNING], "All that is needed works, with 2 warnings."),
        ([FAILURE, FAILURE], "2 failures."),
    ],
)
def test_the_last_line_says_whether_it_works(statuses: list[str], said: str) -> None:
    assert summary(Finding("x", status, "") for status in statuses) == said


def test_a_token_tells_its_end_and_what_is_left(tmp_path: Path) -> None:
    now = time.time()
    for name, claims in {
        "a-forever": {"sub": "me"}, "b-long": {"exp": now + 30 * 86400 + 1800},
        "c-short": {"exp": now + 7230}, "d-gone": {"exp": now - 3 * 3600 - 30},
    }.items():  # fmt: skip
        (tmp_path / name).write_text(f"# mine\n{token(**claims)}\n")
    (tmp_path / "folder").mkdir()
    found = credentials.look([tmp_path, tmp_path / "missing"], False)
    assert [(one.status, one.told) for one in found] == [
        (OK, "Token a-forever has no end."),
        (OK, "Token b-long lasts for 30 d."),
        (WARNING, "Token c-short ends in 2 h."),
        (FAILURE, "Token d-gone ended 3 h ago."),
    ]
    (none,) = credentials.look([tmp_path / "missing"], False)
    assert none.status == NOTE and none.told.startswith("No token or ticket")


@given(st.text(max_size=40).map(lambda middle: f"a.{middle.replace('.', '')}.b"))
def test_what_looks_like_a_token_and_is_none_has_no_end(text: str) -> None:
    assert lifetimes.expiry(text) is None


def test_a_folder_that_can_t_be_made() -> None:
    found = folders._folder("State", Path("/dev/null/state"), "state_dir", locks=True)
    assert found.status == FAILURE and "can't be made: /dev/null can't be written" in found.told
    assert found.remedy.startswith("Set c.GangaKernel.state_dir in ganga_kernel_config.py")


def test_kinds_of_file_systems(tmp_path: Path) -> None:
    assert kind_of(Path("/proc/self")) == "proc"
    assert kind_of(tmp_path) not in ("", "afs", "eos")
    assert kind_of(Path("/eos/user/m/me")) == "eos"
    assert kind_of(Path("/afs/cern.ch/user/m/me")) == "afs"
