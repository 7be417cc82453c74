"""Large buffers: their digests and their files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganga_kernel.bridge import fingerprint
from ganga_kernel.bridge.objects import Buffers
from ganga_kernel.payload import buffers, pickling, unpickling

LARGE = buffers.LARGE


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.binary(max_size=40)))
def test_one_digest_however_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: list[bytes]
) -> None:
    monkeypatch.setattr(buffers, "PIECE", 16)
    monkeypatch.setattr(buffers, "_BLOCK", 4)
    data = b"".join(blocks)
    expected = buffers.digest(data)
    by_blocks = buffers.Digest()
    for block in blocks:
        by_blocks.update(block)
    assert by_blocks.hexdigest() == expected
    with (tmp_path / "f").open("w+b") as file:
        assert buffers.write(file.fileno(), 3, memoryview(data)) == expected
        assert buffers.is_in_file(file.fileno(), 3, len(data), expected)
        assert buffers.read(file.fileno(), 3, len(data), expected) == data
        with pytest.raises(buffers.DamagedError):
            buffers.read(file.fileno(), 3, len(data) + 1, None)


def test_a_change_anywhere_is_noticed() -> None:
    data = bytearray(3 * buffers.PIECE + 10)
    digests, checksums = {buffers.digest(data)}, {buffers.checksum(memoryview(data), 0)}
    for at in (0, buffers.PIECE, 2 * buffers.PIECE - 1, len(data) - 1):
        data[at] = 1
        digests.add(buffers.digest(data))
        checksums.add(buffers.checksum(memoryview(data), 0))
    assert len(digests) == len(checksums) == 5


def capture(objects: Path, namespace: dict[str, Any]) -> tuple[pickling.Dumped, Buffers]:
    large = Buffers(str(objects))
    with (objects / "namespace.pkl").open("wb") as file:
        return pickling.dump_namespace(namespace, list(namespace), file, keep=large.keep), large


def load(objects: Path) -> dict[str, Any]:
    path = objects / "namespace.pkl"
    with path.open("rb") as file:
        return dict(unpickling.load_pairs(file, {}, fetch=buffers.beside(path)))


def test_the_same_content_is_one_file(tmp_path: Path) -> None:
    big = numpy.arange(LARGE // 8, dtype="f8")
    dumped, _ = capture(tmp_path, {"a": big, "b": [big.copy()], "c": big[1:]})
    (name,) = dumped.kept
    written = (tmp_path / name).stat().st_mtime_ns
    assert (tmp_path / "namespace.pkl").stat().st_size < 5000 and dumped.sizes["a"] > LARGE
    there = load(tmp_path)
    there["a"][1] = -5
    assert there["c"][0] == -5 and there["b"][0][1] == 1
    dumped, _ = capture(tmp_path, {"other": 1, "d": numpy.array(big)})
    assert dumped.kept == {name} and (tmp_path / name).stat().st_mtime_ns == written
    os.truncate(tmp_path / name, 100)  # the machine crashed before all was on disk
    capture(tmp_path, {"d": big})
    assert (load(tmp_path)["d"] == big).all()


def test_a_buffer_that_was_cut_off_is_an_error(tmp_path: Path) -> None:
    dumped, _ = capture(tmp_path, {"a": numpy.zeros(LARGE, "u1")})
    (name,) = dumped.kept
    os.truncate(tmp_path / name, LARGE - 1)
    with pytest.raises(unpickling.LoadError, match=r"value of a .*ends too early"):
        load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(unpickling.LoadError, match=r"value of a .*No such file"):
        load(tmp_path)


def test_a_full_disk_is_no_fault_of_the_value(tmp_path: Path) -> None:
    def full(buffer: memoryview) -> str:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"), (tmp_path / "f").open("wb") as file:
        pickling.dump_namespace({"a": numpy.zeros(LARGE, "u1")}, ["a"], file, keep=full)


@pytest.mark.parametrize(
    "make",
    [
        lambda: numpy.arange(LARGE, dtype="u2"),
        lambda: numpy.arange(LARGE, dtype="u2").reshape(2, -1).T,
        lambda: numpy.arange(2 * LARGE, dtype="u2")[::2],
        lambda: numpy.arange(LARGE // 8, dtype="g"),
        lambda: bytes(LARGE),
        lambda: bytearray(LARGE),
    ],
    ids=["array", "columns", "strided", "long double", "bytes", "bytearray"],
)
def test_fingerprints_of_large_values(tmp_path: Path, make: Any) -> None:
    value = make()
    _, large = capture(tmp_path, {"a": value})
    expected = fingerprint.fingerprint({"a": make()}, ["a"])
    assert fingerprint.fingerprint({"a": value}, ["a"], digest_of=large.digest) == expected
    assert fingerprint.fingerprint(load(tmp_path), ["a"]) == expected
    if isinstance(value, bytes):
        return
    value[-1] = 1
    assert fingerprint.fingerprint({"a": value}, ["a"]) != expected


def test_an_array_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = numpy.zeros(LARGE, "u1")
    _, large = capture(tmp_path, {"a": big, "v": big[1:]})
    monkeypatch.setattr(buffers, "digest", lambda _: pytest.fail("hashed again"))
    fingerprint.fingerprint({"a": big}, ["a"], digest_of=large.digest)


def test_memory_that_another_array_has_by_now_is_hashed_anew(tmp_path: Path) -> None:
    """Copies of strided arrays, which the pickler makes, lie one after the other in the same place."""
    large = Buffers(str(tmp_path))
    names = set()
    for number in range(5):
        buffer = memoryview(numpy.full(LARGE, number, "u1"))
        names.add(large.digest(buffer))
        del buffer
    assert len(names) == 5


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_peak_memory(tmp_path: Path) -> None:
    """A large array travels, and is compared, without a copy of it; what loads it needs it once."""
    code = """
import sys
from pathlib import Path
import numpy
from ganga_kernel.bridge.fingerprint import fingerprint
from ganga_kernel.bridge.objects import Buffers
from ganga_kernel.payload import buffers, changes, pickling, unpickling, result, sealed

SIZE, KEY, folder = 200_000_000, "00" * 32, Path(sys.argv[1])

def memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))

def step(name, run):
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    value = run()
    print(name, (memory("VmHWM") - before) / SIZE)
    return value

def capture():
    large = Buffers(str(folder))
    with (folder / "namespace.pkl").open("wb") as file:
        pickling.dump_namespace(here, ["big"], file, keep=large.keep)
    fingerprint(here, ["big"], digest_of=large.digest)

def load():
    with (folder / "namespace.pkl").open("rb") as file:
        return dict(unpickling.load_pairs(file, {}, fetch=buffers.beside(folder / "namespace.pkl")))

def deliver():
    with (folder / "0.result").open("rb") as file:
        reader = sealed.Reader(file, KEY, written["signature"])
        return dict(unpickling.load_pairs(reader.stream, {}, fetch=reader.fetch))

here = {"big": numpy.ones(SIZE, "u1")}
changes.checksum(numpy.ones(10), {})
step("capture", capture)
step("again", capture)
loaded = step("load", load)
step("compare", lambda: changes.checksum(loaded["big"], loaded))
left = result.Outcome(["big"], [], {})
written = step("write", lambda: result.write(folder / "0.result", here, left, KEY))
step("deliver", deliver)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, stdout=subprocess.PIPE, text=True
    )
    rises = {name: float(rise) for name, rise in map(str.split, done.stdout.splitlines())}
    for name in ("capture", "again", "compare", "write"):
        assert rises[name] < 0.2, rises
    for name in ("load", "deliver"):
        assert rises[name] < 1.2, rises
