"""Listing: what is found, under which key, and what is listed only to be refused."""

import os
from pathlib import Path

import pytest

from segflow.data.listing import Listed, list_files
from segflow.errors import RejectCode, UsageError

ODD_NAMES = [
    "with space.png",
    "100%20percent.png",
    "<script>alert(1)<script>.png",
    'o\'clock "quoted".png',
    "größe-日本-🙂.png",
    "a;b&c$d`e.png",
    "[brackets] {braces} *.png",
    "back\\slash.png",
    "UPPER.PNG",
    "tab\tand\nnewline.png",
]


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def _keys(source: str | Path) -> list[str]:
    return sorted(file.key for file in list_files(str(source), "--images"))


def _by_key(source: str | Path) -> dict[str, Listed]:
    return {file.key: file for file in list_files(str(source), "--images")}


def test_a_folder_is_listed_with_its_subfolders(tmp_path):
    _touch(tmp_path, "b.png", "a.jpg", "sub/c.png", "sub/deep/d.tif")

    files = _by_key(tmp_path)

    assert sorted(files) == ["a", "b", "sub/c", "sub/deep/d"]
    found = files["sub/c"]
    assert found.path == str(tmp_path / "sub/c.png")
    assert found.bytes == len("sub/c.png")
    assert found.mtime_ns == (tmp_path / "sub/c.png").stat().st_mtime_ns
    assert found.code is None


def test_only_the_last_extension_is_left_out_of_the_key(tmp_path):
    _touch(tmp_path, "1305031102.17.png", "v1.2/x.y.jpg", "bare")

    assert _keys(tmp_path) == ["1305031102.17", "bare", "v1.2/x.y"]


def test_hidden_files_and_sidecars_are_left_out_and_strangers_are_not(tmp_path):
    _touch(tmp_path, "a.png", ".hidden.png", ".git/b.png", "Thumbs.db", "labels.json", "README.md")
    _touch(tmp_path, "photo.heic", "mask.PNG", "notes.TXT")

    assert _keys(tmp_path) == ["a", "mask", "photo"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_are_kept_as_they_are(tmp_path, name):
    _touch(tmp_path, name)

    for source in (tmp_path, f"{tmp_path}/*"):
        (file,) = list_files(str(source), "--images")
        assert file.path == str(tmp_path / name)
        assert file.key == name.rpartition(".")[0]
        assert file.code is None


def test_paths_are_as_the_user_gave_them(tmp_path, monkeypatch):
    _touch(tmp_path, "data/a.png")
    monkeypatch.chdir(tmp_path)

    assert [f.path for f in list_files("data/", "--images")] == ["data/a.png"]
    assert [f.path for f in list_files("./data/*.png", "--images")] == ["data/a.png"]
    assert [f.path for f in list_files(".", "--images")] == ["data/a.png"]
    monkeypatch.chdir(tmp_path / "data")
    assert [f.path for f in list_files("*.png", "--images")] == ["a.png"]
    assert [f.path for f in list_files("../data/?.png", "--images")] == ["../data/a.png"]


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [
        ("*.jpg", ["a", "a_mask", "b.1"]),
        ("*.*", ["a", "a", "a_mask", "b.1", "b.2"]),
        ("*", ["a", "a", "a_mask", "b.1", "b.2"]),
        ("a.*", ["a", "a"]),
        ("a*", ["_mask", "a", "a"]),
        ("*_mask.jpg", ["a"]),
        ("*_mask.*", ["a"]),
        ("?.jpg", ["a"]),
        ("?.[jp]*", ["a", "a"]),
        ("*.[jJ][pP]g", ["a", "a_mask", "b.1"]),
        ("[!b].jpg", ["a"]),
        ("[a-z].jpg", ["a"]),
        ("b.[0-9].*", ["1", "2"]),
        ("[z-a].jpg", []),
        ("**/*.jpg", ["a", "a_mask", "b.1", "sub/c", "sub/deep/d", "sub/other/d"]),
        ("**", ["a", "a", "a_mask", "b.1", "b.2", "sub/c", "sub/deep/d", "sub/other/d"]),
        ("sub/**/*.jpg", ["c", "deep/d", "other/d"]),
        ("sub/*/*.jpg", ["deep/d", "other/d"]),
        ("sub/*/d.jpg", ["deep", "other"]),
        ("*/*.jpg", ["sub/c"]),
        ("sub/**/deep/*.jpg", ["d"]),
        ("*.png*", ["a", "b.2"]),
    ],
)
def test_a_globs_keys_are_what_its_wildcards_match_without_the_extension(tmp_path, pattern, keys):
    _touch(tmp_path, "a.jpg", "a.png", "a_mask.jpg", "b.1.jpg", "b.2.png", "sub/c.jpg")
    _touch(tmp_path, "sub/deep/d.jpg", "sub/other/d.jpg", ".hid/e.jpg", ".f.jpg", "note.txt")

    assert _keys(tmp_path / pattern) == keys


def test_image_and_mask_of_different_globs_share_the_key(tmp_path):
    _touch(tmp_path, "x/left/001_rgb.JPG", "y/left_001_mask.v2.png")

    (image,) = _keys(f"{tmp_path}/x/*/*_rgb.[jJ][pP][gG]")
    (mask,) = _keys(f"{tmp_path}/y/*_*_mask.v?.png")

    assert image == "left/001"
    assert mask == "left/001/2"


def test_a_folder_whose_name_looks_like_a_glob_is_a_folder(tmp_path):
    _touch(tmp_path, "set[1]*/a.png")

    assert _keys(tmp_path / "set[1]*") == ["a"]


def test_a_glob_looks_into_no_folder_that_cannot_match(tmp_path, monkeypatch):
    _touch(tmp_path, "a/x.png", "b/x.png", "b/c/x.png")
    looked_into = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda p: looked_into.append(Path(p).name) or scandir(p))

    assert _keys(f"{tmp_path}/[b]/*.png") == ["b/x"]
    assert looked_into == [tmp_path.name, "b"]


@pytest.mark.parametrize("source", ["missing", "missing/*.png", "missing/**"])
def test_a_missing_folder_is_named_with_its_flag(tmp_path, source):
    with pytest.raises(UsageError, match=r"--masks .*no such folder"):
        list(list_files(str(tmp_path / source), "--masks"))


def test_a_file_is_no_folder(tmp_path):
    _touch(tmp_path, "a.png")

    with pytest.raises(UsageError, match="is a file; expected a folder or a glob"):
        list(list_files(str(tmp_path / "a.png"), "--images"))


@pytest.fixture(params=["folder", "glob"])
def source(request, tmp_path):
    """A folder `in` beside a folder `out`, as a folder or as a glob."""
    _touch(tmp_path, "in/a.png", "out/secret.png")
    return f"{tmp_path}/in" if request.param == "folder" else f"{tmp_path}/in/**/*"


def test_a_link_that_leaves_the_root_is_refused(source, tmp_path):
    (tmp_path / "in/link.png").symlink_to("../out/secret.png")

    file = _by_key(source)["link"]

    assert file.code == RejectCode.OUTSIDE_ROOT
    assert "link" in file.message


def test_a_link_within_the_root_is_an_input(source, tmp_path):
    (tmp_path / "in/link.png").symlink_to("a.png")

    assert _by_key(source)["link"].code is None
    assert _by_key(source)["link"].bytes == len("in/a.png")


def test_a_linked_folder_that_leaves_the_root_is_refused_as_one(source, tmp_path):
    (tmp_path / "in/elsewhere").symlink_to("../out")

    files = _by_key(source)

    assert sorted(files) == ["a", "elsewhere"]
    assert files["elsewhere"].code == RejectCode.OUTSIDE_ROOT


@pytest.mark.timeout(10)
def test_a_linked_folder_within_the_root_is_not_listed_twice_and_never_in_circles(source, tmp_path):
    (tmp_path / "in/again").symlink_to(".")

    assert _keys(source) == ["a"]


def test_the_root_itself_may_be_a_link(tmp_path):
    _touch(tmp_path, "real/a.png")
    (tmp_path / "link").symlink_to("real")

    for source in (tmp_path / "link", tmp_path / "link/*.png"):
        assert [f.code for f in list_files(str(source), "--images")] == [None]


@pytest.mark.parametrize("target", ["gone.png", "loop.png"])
def test_a_dangling_link_is_listed_as_unreadable(source, tmp_path, target):
    (tmp_path / "in/loop.png").symlink_to(target)

    file = _by_key(source)["loop"]

    assert file.code == RejectCode.UNREADABLE
    assert (file.bytes, file.mtime_ns) == (0, 0)


def test_a_pipe_is_listed_as_unreadable(source, tmp_path):
    os.mkfifo(tmp_path / "in/pipe.png")

    assert _by_key(source)["pipe"].code == RejectCode.UNREADABLE


def test_a_folder_that_cannot_be_listed_is_refused_and_not_passed_over(
    source, tmp_path, monkeypatch
):
    _touch(tmp_path, "in/locked/b.png")
    scandir = os.scandir

    def deny(path: str) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)

    files = _by_key(source)

    assert sorted(files) == ["a", "locked"]
    assert files["locked"].code == RejectCode.UNREADABLE
    assert "Permission denied" in files["locked"].message


def test_a_passing_fault_of_the_storage_raises(source, monkeypatch):
    def time_out(path: str) -> None:
        raise TimeoutError(110, "Connection timed out")

    monkeypatch.setattr(os, "scandir", time_out)

    with pytest.raises(TimeoutError):
        _keys(source)


def test_a_name_that_is_no_unicode_is_refused_with_a_name_that_can_be_stored(source, tmp_path):
    with open(os.fsencode(tmp_path / "in") + b"/caf\xe9.png", "wb"):  # noqa: PTH123 - bytes
        pass

    file = _by_key(source)["caf\N{REPLACEMENT CHARACTER}"]

    assert file.code == RejectCode.UNREADABLE
    assert "rename" in file.message
    assert file.path.encode()


def test_listing_streams(tmp_path):
    """The first file comes before the last is looked at: nothing is held but what was yielded."""
    _touch(tmp_path, *(f"{i}.png" for i in range(50)))

    files = list_files(str(tmp_path), "--images")
    first = next(files)
    for path in tmp_path.iterdir():
        if path.stem != first.key:
            path.unlink()

    assert {file.code for file in files} <= {RejectCode.UNREADABLE}
