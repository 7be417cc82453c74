"""Result files: what a reader takes from them is what the job wrote."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganga_kernel.payload import buffers, pickling, sealed, unpickling

KEY = "00ff" * 16
LARGE = buffers.LARGE


def write(path: Path, namespace: dict[str, Any]) -> str:
    """Write names to a result file; returns its signature."""
    with path.open("wb", buffering=0) as file:
        writer: Any = sealed.Writer(file)
        pickling.dump_namespace(namespace, list(namespace), writer, keep=writer.keep)
        return str(writer.seal(KEY))


def load(path: Path, signature: str, key: str | None = KEY) -> dict[str, Any]:
    with path.open("rb") as file:
        reader = sealed.Reader(file, key, signature)
        return dict(unpickling.load_pairs(reader.stream, {}, fetch=reader.fetch))


@pytest.fixture
def values() -> dict[str, Any]:
    big = numpy.arange(LARGE // 8 + 5, dtype="f8")
    return {"small": [1, "two"], "big": big, "view": big[3:], "text": b"x" * 5_000_000}


def test_values_come_back(tmp_path: Path, values: dict[str, Any]) -> None:
    path = tmp_path / "0.result"
    signature = write(path, values)
    there = load(path, signature)
    assert there["small"] == values["small"] and there["text"] == values["text"]
    assert (there["big"] == values["big"]).all()
    there["big"][3] = -1  # writable, and the view is one
    assert there["view"][0] == -1


def test_read_only_arrays_stay_read_only(tmp_path: Path) -> None:
    big = numpy.zeros(LARGE, "u1")
    big.flags.writeable = False
    path = tmp_path / "0.result"
    assert not load(path, write(path, {"big": big}))["big"].flags.writeable


def test_equal_buffers_are_written_once_and_are_two(tmp_path: Path) -> None:
    one = numpy.ones(LARGE, "u1")
    path = tmp_path / "0.result"
    there = load(path, write(path, {"one": one, "other": one.copy()}))
    assert path.stat().st_size < 1.5 * LARGE
    there["one"][0] = 7
    assert there["other"][0] == 1


def test_signature(tmp_path: Path, values: dict[str, Any]) -> None:
    path = tmp_path / "0.result"
    signature = write(path, values)
    assert sealed.verify(path, KEY, signature) and sealed.verify(str(path), KEY + "\n", signature)
    for key, said in [(KEY, signature[:-1] + "x"), (KEY, "ä"), ("11" * 32, signature)]:
        assert not sealed.verify(path, key, said)
        with pytest.raises(sealed.NotGenuineError):
            load(path, said, key)


class Evil:
    """Would be noticed if it was unpickled."""

    ran = False

    def __reduce__(self) -> Any:
        return _note, ()


def _note() -> None:
    Evil.ran = True


@pytest.mark.parametrize("where", ["stream", "buffer", "index"])
def test_nothing_else_is_unpickled(tmp_path: Path, values: dict[str, Any], where: str) -> None:
    path = tmp_path / "0.result"
    signature = write(path, values)
    data = bytearray(path.read_bytes())
    evil = pickle.dumps(Evil())
    at = {"stream": 0, "buffer": bytes(data).index(values["big"].tobytes()), "index": len(data) - 100}[where]
    data[at : at + len(evil)] = evil
    path.write_bytes(data)
    assert not sealed.verify(path, KEY, signature)
    with pytest.raises(sealed.NotGenuineError):
        load(path, signature)
    assert not Evil.ran


@pytest.mark.parametrize("data", [b"", b"short", bytes(1000), b"\xff" * 1000])
def test_what_is_no_result_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "0.result"
    path.write_bytes(data)
    assert not sealed.verify(path, KEY, "00")
    for key in (KEY, None):
        with pytest.raises(sealed.NotGenuineError):
            load(path, "00", key)


def test_a_file_that_is_cut_while_it_is_read(tmp_path: Path, values: dict[str, Any]) -> None:
    path = tmp_path / "0.result"
    signature = write(path, values)
    with path.open("r+b") as file:
        reader = sealed.Reader(file, KEY, signature)
        file.truncate(100)
        with pytest.raises(sealed.NotGenuineError):
            dict(unpickling.load_pairs(reader.stream, {}, fetch=reader.fetch))
        assert not reader.is_whole()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=50), st.just("keep"), st.just("again"), st.just("mark"))))
def test_it_is_a_stream(tmp_path: Path, steps: list[Any]) -> None:
    expected, marks = io.BytesIO(), [0]
    kept: dict[int, bytes] = {}
    path = tmp_path / "0.result"
    with path.open("wb", buffering=0) as file:
        writer = sealed.Writer(file)
        for number, step in enumerate(steps):
            if step == "mark":
                marks.append(writer.tell())
                assert marks[-1] == expected.tell()
            elif step == "again":
                for one in (writer, expected):
                    one.seek(marks[-1])  # type: ignore[attr-defined]
                    one.truncate()  # type: ignore[attr-defined]
                kept.clear()
            elif step == "keep":
                content = bytes([number % 3]) * 20
                kept[writer.keep(memoryview(content))] = content
            else:
                writer.write(step)
                expected.write(step)
        signature = writer.seal(KEY)
    with path.open("rb") as file:
        reader = sealed.Reader(file, KEY, signature)
        assert reader.stream.read() == expected.getvalue()
        assert {number: bytes(reader.fetch(number)) for number in kept} == kept
        place = expected.tell() // 2
        reader.stream.seek(place)
        assert reader.stream.read(7) == expected.getvalue()[place : place + 7]
    assert sealed.verify(path, KEY, signature)
