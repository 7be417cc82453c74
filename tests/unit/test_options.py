"""From texts to checked values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganga_kernel.errors import OptionError
from ganga_kernel.options import Options, duration, from_line, from_mapping, size, spell_size


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2GB", 2**31),
        ("500", 500 * 2**20),
        ("1.5 GiB", 3 * 2**29),
        ("10k", 10240),
        ("1T", 2**40),
        ("3mb", 3 * 2**20),
    ],
)
def test_sizes(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "0", "1XB", "2 GB 3", "1e3", "nan"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        size(text)


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90), ("20min", 1200), ("1.5h", 5400), ("2d", 172800), ("1 m", 60)]
)
def test_durations(text: str, value: int) -> None:
    assert duration(text) == value


@given(st.integers(min_value=2**20, max_value=2**50))
def test_a_size_spelt_and_read_is_nearly_the_same(value: int) -> None:
    assert abs(size(spell_size(value)) - value) <= value / 100


def test_a_whole_line() -> None:
    found = from_line(
        "--backend HTCondor --memory 2GB --cpus 2 --runtime 1h --requirements 'a == \"b c\"' --no-wait"
    )
    assert found == Options("HTCondor", 2**31, 2, None, None, 3600, 'a == "b c"', wait=False)


def test_the_stronger_options_win_and_the_rest_stays() -> None:
    weak, strong = from_line("--memory 1GB --cpus 2"), from_mapping({"memory": "2GB"}, "the tags")
    assert strong.over(weak) == Options(memory=2**31, cpus=2)


def test_resources_hold_what_was_said_and_is_the_backend_s() -> None:
    assert from_line("--cpus 2 --wait --backend Local").resources() == {"cpus": 2}


@pytest.mark.parametrize("value", [2, "2"])
def test_metadata_holds_json(value: object) -> None:
    assert from_mapping({"cpus": value, "wait": True}, "the metadata") == Options(cpus=2, wait=True)


@pytest.mark.parametrize(
    "line", ["--mem 1GB", "--memory", "--cpus two", "--cpus=0", "x", "--backend ''", "'"]
)
def test_mistakes(line: str) -> None:
    with pytest.raises(OptionError):
        from_line(line)


@given(st.text())
def test_any_line_is_read_or_refused(line: str) -> None:
    try:
        from_line(line)
    except OptionError as error:
        assert str(error)


_WORDS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1)


@given(
    st.builds(
        Options,
        backend=st.none() | st.sampled_from(["Local", "HTCondor"]),
        memory=st.none() | st.integers(1, 100).map(lambda n: n * 2**30),
        cpus=st.none() | st.integers(1, 100),
        runtime=st.none() | st.integers(1, 10**6),
        requirements=st.none() | _WORDS.map(str.strip).filter(lambda text: text and text[0] != "-"),
        wait=st.none() | st.booleans(),
    )
)
def test_what_describe_says_can_be_typed(options: Options) -> None:
    assert from_line(options.describe()) == options
