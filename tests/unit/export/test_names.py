"""Names of exported files: inside the folder, and no two alike, whatever images are called."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.export.names import MARK, safe_name, same_name, suffix

_HOSTILE = st.text(st.sampled_from([*"/.\\~:*? \n\0é\u202e\u0301aA日🌲%-"]) | st.characters())


@pytest.mark.parametrize(
    ("uri", "source", "expected"),
    [
        ("/photos/a.jpg", "/photos", "a"),
        ("/photos/street/0001.jpg", "/photos", "street/0001"),
        ("/photos/street/0001.jpg", "/photos/**/*.jpg", "street/0001"),
        ("/photos/[1] {a}/x.png", "/photos/[1] {a}", "x"),
        ("/photos/pack.tar/street/1.jpg", "/photos/pack.tar", "street/1"),
        ("/lists/photos/1.jpg", "/lists/new.csv", "photos/1"),
        ("/elsewhere/1.jpg", "/photos", "elsewhere/1"),
        ("s3://bucket/a/1.jpg", "/photos", "s3_/bucket/a/1"),
        ("/photos/../../etc/passwd", "/photos", "etc/passwd"),
        ("/photos/.hidden/..jpg", "/photos", "_hidden/_"),
        ("/photos/v1.2/dots.in.it.jpg", "/photos", "v1_2/dots.in.it"),
        ("/photos/a b\\c:d*\n?.jpg", "/photos", "a_b_c_d___"),
        ("/photos/e\u0301tude 日本.jpg", "/photos", "étude_日本"),
        ("/photos/noextension", "/photos", "noextension"),
        ("", "/photos", "_"),
        ("/", "/", "_"),
    ],
)
def test_a_name_is_the_path_below_the_source(uri, source, expected):
    assert safe_name(uri, source) == expected


@given(uri=_HOSTILE, source=_HOSTILE)
def test_no_name_leads_out_of_its_folder(uri, source):
    for address in (uri, f"{source}/{uri}"):
        name = safe_name(address, source)
        path = PurePosixPath(name)
        assert not path.is_absolute()
        assert str(path) == name
        assert all(part[0] != "." and len(part.encode()) <= 180 for part in path.parts)
        assert all("." not in part for part in path.parts[:-1])
        assert not set(name) & set('\\:*?"<>|~\0\n ')
        assert MARK not in name
        assert name.isprintable()


@given(st.lists(_HOSTILE, min_size=2, max_size=6, unique=True))
def test_files_of_different_names_differ_and_none_is_called_like_a_folder(uris):
    names = {safe_name(uri, "/photos"): suffix(uri) for uri in uris}
    files = [f"{name}{ending}" for name, ending in names.items()]
    masks = [f"{name}.png" for name in names]
    for paths in (files, masks):
        assert len(set(paths)) == len(names)
        folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
        assert not folders & set(paths)


def test_names_that_a_file_system_may_take_for_one_are_known():
    assert same_name("Straße/É") == same_name("STRASSE/e\u0301")
    assert same_name("a") != same_name("b")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [("a.JPG", ".jpg"), ("a.jpg.x", ".img"), ("pack.parquet/17", ".img"), ("..", ".img")],
)
def test_a_copy_keeps_an_extension_that_images_have(uri, expected):
    assert suffix(uri) == expected
