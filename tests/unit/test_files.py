"""Files of a cell: which go along, what an archive may hold, and where those that come back end up."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_payload_harness import Result, run_cell
from test_payload_map import run_map

from ganga_kernel import inputfiles, outputfiles, spool
from ganga_kernel.bridge.opened import opened
from ganga_kernel.errors import BadSignature, CellError
from ganga_kernel.payload import sealed, tarred

KEY = "ab" * 32
#: Paths of files, among them such as an archive must not hold.
PARTS = st.sampled_from(["a", "b.txt", "..", ".", "", "ä ö", "x" * 120])
PLACES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


def tar(*entries: tarfile.TarInfo, content: bytes = b"content") -> io.BytesIO:
    """A tar file that another program might have written."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        for entry in entries:
            entry.size = len(content) if entry.isreg() else 0
            made.addfile(entry, io.BytesIO(content) if entry.isreg() else None)
    stream.seek(0)
    return stream


@given(PLACES)
def test_what_is_unpacked_is_below_the_folder(place: str) -> None:
    stream = tar(tarfile.TarInfo(place))
    try:
        found = [member.place for member in tarred.members(stream)]
    except tarred.ArchiveError:
        assert not tarred.is_place(place)
        return
    root = "/root/folder"
    assert [os.path.normpath(os.path.join(root, one)) for one in found] == [f"{root}/{one}" for one in found]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    entry = tarfile.TarInfo("evil")
    entry.type, entry.linkname = kind, "/etc/passwd"
    (tmp_path / "evil.tar").write_bytes(tar(entry).getvalue())
    with pytest.raises(tarred.ArchiveError, match="neither a file nor a folder"):
        tarred.unpack(tmp_path / "evil.tar", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = tar(tarfile.TarInfo("a"), content=b"x" * 5000).getvalue()
    for length in (0, 100, 2000):
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        with pytest.raises((tarred.ArchiveError, OSError)):
            tarred.unpack(tmp_path / "cut.tar", tmp_path / str(length))


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
        .filter(tarred.is_place)
        .map(lambda name: f"folder/{name}"),
        st.binary(max_size=3000),
        max_size=4,
    )
)
def test_what_is_packed_comes_out_again(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("packed")
    (folder / "content").mkdir()
    with (folder / "a.tar").open("wb") as stream:
        writer = tarred.Writer(stream)
        writer.add_folder("empty")
        for number, (place, content) in enumerate(files.items()):
            (folder / "content" / str(number)).write_bytes(content)
            writer.add_file(place, str(folder / "content" / str(number)))
        writer.close()
    tarred.unpack(folder / "a.tar", folder / "out")
    assert (folder / "out" / "empty").is_dir()
    assert {place: (folder / "out" / place).read_bytes() for place in files} == files


def notebook(folder: Path) -> Path:
    """A notebook's folder with files."""
    root = folder / "project" / "nb"
    (root / "calib" / "empty").mkdir(parents=True)
    (root / "calib" / "a.txt").write_text("a")
    (root / "calib" / "loop").symlink_to(root / "calib")
    (root / "run[1].csv").write_text("1")
    (root.parent / "other.csv").write_text("2")
    (root / "run.sh").write_text("#!/bin/sh\necho ran")
    (root / "run.sh").chmod(0o755)
    return root


def test_which_files_go_along(tmp_path: Path) -> None:
    root = notebook(tmp_path)
    found = inputfiles.look(root, ["calib/", "*.csv", "run[1].csv", "../other.csv", "osdf:///pool/data.root"])
    base = str(root).lstrip("/")
    assert [file.place for file in found.files] == [
        f"{base}/calib/a.txt", f"{base}/run[1].csv", f"{base.rpartition('/')[0]}/other.csv",
    ]  # fmt: skip
    assert found.folders == [f"{base}/calib/empty"] and found.urls == ["osdf:///pool/data.root"]
    before = inputfiles.state(found)
    assert inputfiles.state(inputfiles.look(root, ["calib"])) == inputfiles.state(
        inputfiles.look(root, ["calib"])
    )
    (root / "calib" / "a.txt").write_text("b")
    assert inputfiles.state(inputfiles.look(root, ["calib"])) != before


@pytest.mark.parametrize("text", ["nothing", "*.nothing", "no/such/folder/"])
def test_what_isn_t_there_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(CellError, match=f"--input {text}".replace("*", r"\*")):
        inputfiles.look(tmp_path, [text])


@pytest.mark.parametrize(
    "text", ["", " ", "/etc/passwd", "https://host/", "https://host", "https://host/a?b=c"]
)
def test_no_inputs(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        inputfiles.pattern(text)


@pytest.mark.parametrize("text", ["", "/x", "../x", "a/../../x", "."])
def test_no_outputs(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        inputfiles.output_pattern(text)


@pytest.mark.parametrize(
    ("pattern", "place", "expected"),
    [
        ("a.txt", "a.txt", True),
        ("out", "out/deep/a.txt", True),
        ("out/*.txt", "out/a.txt", True),
        ("out/*.txt", "out/deep/a.txt", False),
        ("**/*.txt", "out/deep/a.txt", True),
        ("**/*.txt", "a.txt", True),
        ("*.txt", ".bashrc", False),
    ],
)
def test_what_a_pattern_names(pattern: str, place: str, expected: bool) -> None:
    assert outputfiles.names(pattern, place) is expected


def described(root: Path, objects: Path, *inputs: str, output: tuple[str, ...] = ()) -> dict[str, Any]:
    """A cell's files as its job's description has them."""
    objects.mkdir(exist_ok=True)
    return inputfiles.described(root, inputfiles.look(root, inputs), output, True, objects)


def gone(root: Path) -> None:
    """The worker doesn't see the notebook's folder: it has another one of that name."""
    root.rename(root.with_name("hidden"))
    root.mkdir()


@pytest.mark.parametrize("large", [inputfiles.LARGE, 1])
def test_the_payload_runs_where_the_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr(inputfiles, "LARGE", large)
    root, sandbox = notebook(tmp_path), tmp_path / "sandbox"
    sandbox.mkdir()
    (root / "out" / "deep").mkdir(parents=True)
    inputs = ("calib", "run.sh", "../other.csv", "run*.csv")
    files = described(root, tmp_path / "objects", *inputs, output=("out/deep/[xy]",))
    for path in [*filter(None, [files["archive"]]), *(file for _, file, _ in files["large"])]:
        (sandbox / Path(path).name).write_bytes(Path(path).read_bytes())  # as HTCondor does
    gone(root)
    result = run_cell(
        sandbox,
        "import os, subprocess\n"
        "seen = [open(n).read() for n in ('calib/a.txt', '../other.csv', 'run[1].csv')]\n"
        "seen.append(os.path.isdir('calib/empty'))\n"
        "seen.append(subprocess.run(['sh', './run.sh'], capture_output=True, text=True).stdout)\n"
        "open('out/deep/x', 'w').write('written'); os.symlink('x', 'out/deep/y')",
        {},
        directory=str(root),
        files=files,
    )
    assert result.code == 0, result.events
    assert result.names()["seen"] == ["a", "2", "1", True, "ran\n"]
    assert taken(result, root, ("out",)).brought == ["out/deep/x", "out/deep/y"]
    assert [(root / "out/deep" / name).read_text() for name in "xy"] == ["written", "written"]


def taken(result: Result, root: Path, patterns: tuple[str, ...], number: int = 4) -> outputfiles.Taken:
    """Bring what a payload wrote to its places."""
    archive = result.end["result"]["files"]
    source = outputfiles.Source(result.folder / archive["file"], result.key, archive["signature"], None)
    return outputfiles.Places(root, list(patterns), {}, number, root.parent / "known").take([[source]])


def test_in_the_notebook_s_folder_nothing_is_archived(tmp_path: Path) -> None:
    root = notebook(tmp_path)
    files = described(root, tmp_path / "objects", "calib", output=("out.txt", "none.txt"))
    result = run_cell(tmp_path, "open('out.txt', 'w').write('x')", {}, directory=str(root), files=files)
    assert result.end["result"]["unmatched"] == ["none.txt"]
    assert taken(result, root, ("out.txt",)) == outputfiles.Taken([], [], [])
    assert (root / "out.txt").read_text() == "x"


def test_a_file_that_is_missing_on_the_worker_is_named_with_its_remedy(tmp_path: Path) -> None:
    root = notebook(tmp_path)
    files = described(root, tmp_path / "objects", output=("out.txt",))
    gone(root)
    result = run_cell(tmp_path, "open('calib/a.txt')", {}, directory=str(root), files=files)
    assert "calib/a.txt isn't on this worker" in result.text("stderr")
    assert "--input calib/a.txt" in result.text("stderr")


def test_a_local_cell_whose_input_is_gone_says_so(tmp_path: Path) -> None:
    root = notebook(tmp_path)
    files = {**described(root, tmp_path / "objects", "run.sh"), "travel": False}
    (root / "run.sh").unlink()
    result = run_cell(tmp_path, "pass", {}, directory=str(root), files=files)
    assert result.code == 3 and "run.sh, which --input names, can't be read" in result.end["error"]["evalue"]


def test_items_that_write_the_same_file_are_told_apart(tmp_path: Path) -> None:
    root = notebook(tmp_path)
    files = described(root, tmp_path / "objects", output=("*.txt",))
    gone(root)
    source = "open('same.txt', 'w').write('for all' * x)\nopen(f'{x}.txt', 'w').write(str(x))"
    result = run_map(tmp_path, source, [1, 2, 3], directory=str(root), files=files)
    found = taken(result, root, ("*.txt",))
    assert (found.brought, found.renamed) == (["2.txt", "same.txt", "3.txt"], [("same.txt", "same.job4.txt")])
    assert (root / "same.txt").read_text() == "for all" * 2
    assert (root / "same.job4.txt").read_text() == "for all" * 3


class Written:
    """The archive of a job, by hand."""

    def __init__(self, folder: Path, number: int, **files: str) -> None:
        self.path = folder / f"{number}.files"
        with self.path.open("wb", buffering=0) as file:
            writer = sealed.Writer(file)
            archive = tarred.Writer(writer)
            for place, content in files.items():
                item, _, name = place.partition("_")
                (folder / "content").write_text(content)
                archive.add_folder(item.strip("i"))
                archive.add_file(f"{item.strip('i')}/{name}.txt", str(folder / "content"))
            archive.close()
            self.source = outputfiles.Source(self.path, KEY, writer.seal(sealed.key_of_files(KEY)), None)


def places(root: Path, number: int, **inputs: tuple[int, int]) -> outputfiles.Places:
    """The places for a job's files."""
    return outputfiles.Places(root, ["*.txt"], inputs, number, root.parent / "known")


def test_what_is_there_stays_unless_a_job_brought_it(tmp_path: Path) -> None:
    root = tmp_path / "nb"
    root.mkdir()
    (root / "mine.txt").write_text("mine")
    (root / "same.txt").write_text("same")
    first = Written(tmp_path, 1, i0_mine="job's", i0_new="first", i0_same="same")
    found = places(root, 1).take([[first.source]])
    assert found == outputfiles.Taken(["new.txt", "same.txt"], [], [("mine.txt", "mine.job1.txt")])
    assert (root / "mine.txt").read_text() == "mine" and (root / "mine.job1.txt").read_text() == "job's"
    again = Written(tmp_path, 2, i0_new="second")
    assert places(root, 2).take([[again.source]]).replaced == [("new.txt", 1)]
    (root / "new.txt").write_text("touched")
    assert places(root, 2).take([[again.source]]).renamed == [("new.txt", "new.job2.txt")]
    assert places(root, 2).take([[again.source]]).renamed == [("new.txt", "new.job2.txt")]
    other = Written(tmp_path, 3, i0_new="third")
    state = (root / "new.txt").stat()
    sent = {str(root / "new.txt").lstrip("/"): (state.st_size, state.st_mtime_ns)}
    assert places(root, 3, **sent).take([[other.source]]).replaced == [("new.txt", 0)]
    assert (root / "new.txt").read_text() == "third"
    assert sorted(path.name for path in root.iterdir()) == [
        "mine.job1.txt", "mine.txt", "new.job2.txt", "new.txt", "same.txt",
    ]  # fmt: skip


def test_of_an_item_that_ran_again_the_newest_files_count(tmp_path: Path) -> None:
    first = Written(tmp_path, 1, i0_a="a", i1_b="old", i2_late="handed on")
    second = Written(tmp_path, 2, i1_c="new")
    root = tmp_path / "nb"
    sources = [[first.source._replace(last=1)], [second.source]]
    assert sorted(places(root, 2).take(sources).brought) == ["a.txt", "c.txt"]


@pytest.mark.parametrize("how", ["changed", "signature", "as a result", "not asked for", "no item"])
def test_what_the_job_did_not_sign_is_not_taken(tmp_path: Path, how: str) -> None:
    written = Written(tmp_path, 1, i0_a="content", **({"x_b": ""} if how == "no item" else {}))
    source, root = written.source, tmp_path / "nb"
    if how == "changed":
        written.path.write_bytes(written.path.read_bytes().replace(b"content", b"CONTENT"))
    elif how == "signature":
        source = source._replace(signature="0" * 64)
    elif how == "as a result":
        assert not sealed.verify(written.path, KEY, source.signature)
        source = source._replace(key=sealed.key_of_files(KEY))
    patterns = ["b.txt"] if how == "not asked for" else ["*.txt"]
    with pytest.raises(BadSignature):
        outputfiles.Places(root, patterns, {}, 1, tmp_path / "known").take([[source]])
    assert not list(root.glob("**/*.txt")) or how == "no item"


def test_files_go_along_when_a_job_is_submitted_once_more(tmp_path: Path) -> None:
    root = notebook(tmp_path)
    made = spool.Spool(tmp_path / "spool")
    files = described(root, made.objects, "calib", output=("out",))
    folder = made.new_job("a", {"files": files, "map": None})
    again = spool.description(made.copy_job(folder, "b", None))
    assert again["files"] == json.loads(json.dumps(files))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("open('calib/a.txt')", ["calib/a.txt"]),
        (
            "t = pd.read_csv('run[1].csv', sep=';')\nnp.load('run.sh'); np.load('run.sh')",
            ["run[1].csv", "run.sh"],
        ),
        ("f = uproot.open('run.sh:tree')", ["run.sh"]),
        ("open('calib/a.txt', 'w'); t.to_csv('run.sh'); print('run.sh'); fig.savefig('run.sh')", []),
        ("open('calib'); open('nothing'); open('/dev/null'); open(name); open('a\\0b'); f(3); f()", []),
        ("open('calib/a.txt', mode='rb')", ["calib/a.txt"]),
        ("def f():\n    return open('../other.csv').read()", ["../other.csv"]),
    ],
)
def test_which_files_a_cell_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, expected: list[str]
) -> None:
    monkeypatch.chdir(notebook(tmp_path))
    assert opened(source) == expected
