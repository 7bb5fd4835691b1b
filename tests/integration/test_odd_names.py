"""Odd names of files and folders: kept as they are in tables, escaped in reports."""

import html.parser
from pathlib import Path

import duckdb
import pytest

from segflow.label_map import LabelClass, LabelMap
from tests.bundles import write_bundle
from tests.drawn import LABELS, Pairs, encode, rows_of, scene
from tests.programs import run_here

NAMES = (
    "it's",
    'say "cheese"',
    "with  two spaces ",
    "a%20b",
    "<script>alert(1)",
    "<img src=x onerror=alert(1)>",
    "&amp; & co",
    "Größe 日本 🌲",
    "e\N{COMBINING ACUTE ACCENT}tude",  # two code points that look like one
    "-dash",
    "--output=x",
    "back\\slash",
    "[ab]*?{c}",
    "#1?x=2",
    "two\nlines",
    "dots.in.it",
    "$HOME `id` ;x",
)
# The `[/b]` in this path closes a tag in what rich takes for markup.
ODD_FOLDER = "it's [1] a%20b * ü <b> :cat: [/b]"


class Page(html.parser.HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def pairs(tmp_path):
    """A sound pair under each name, and a broken one in a subfolder of that name."""
    pairs = Pairs(tmp_path / ODD_FOLDER / "data", count=0)
    _, mask = scene(0)
    for number, name in enumerate(NAMES):
        pairs.add(name, number)
        for folder, data in ((pairs.images, b""), (pairs.masks, encode(mask))):
            (folder / name).mkdir()
            (folder / name / f"{name}.png").write_bytes(data)
    return pairs


def _sound(folder: Path) -> set[str]:
    return {str(folder / f"{name}.png") for name in NAMES}


def _broken(folder: Path) -> set[str]:
    return {str(folder / name / f"{name}.png") for name in NAMES}


def _uris(rows, column="image_uri"):
    return {row[column] for row in rows}


def test_ingest_keeps_names_as_they_are(pairs, tmp_path, capfd):
    output = tmp_path / ODD_FOLDER / "dataset"
    ran = run_here(capfd, "ingest", *pairs.flags(output))
    assert (ran.code, ran.errors) == (0, [])
    assert f"report: {output}/report.html" in ran.out

    index, rejects = rows_of(output, "index"), rows_of(output, "rejects")
    assert _uris(index) == _sound(pairs.images)
    assert _uris(index, "mask_uri") == _sound(pairs.masks)
    assert {row["key"] for row in index} == set(NAMES)
    assert _uris(rejects) == _broken(pairs.images)
    assert {row["key"] for row in rejects} == {f"{name}/{name}" for name in NAMES}
    assert run_here(capfd, "verify", output).code == 0


def test_label_keeps_names_as_they_are(pairs, tmp_path, capfd):
    output = tmp_path / ODD_FOLDER / "labels"
    model = write_bundle(tmp_path / ODD_FOLDER / "model", LABELS)
    flags = [f"--model={model}", f"--images={pairs.images}", f"--output={output}"]
    flags.append("--max-reject-fraction=1")
    ran = run_here(capfd, "label", *flags)
    assert (ran.code, ran.errors) == (0, [])

    assert _uris(rows_of(output, "images")) == _sound(pairs.images)
    assert _uris(rows_of(output, "areas")) == _sound(pairs.images)
    assert _uris(rows_of(output, "rejects")) == _broken(pairs.images)
    assert "nothing new to label" in run_here(capfd, "label", *flags).out
    assert run_here(capfd, "verify", output).code == 0
    with duckdb.connect() as connection:
        connection.execute((output / "current.sql").read_text())
        seen = connection.execute("SELECT image_uri FROM current_images").fetchall()
    assert {uri for (uri,) in seen} == _sound(pairs.images)


def test_evaluate_keeps_names_as_they_are(pairs, tmp_path, capfd):
    output = tmp_path / ODD_FOLDER / "evaluation"
    model = write_bundle(tmp_path / ODD_FOLDER / "model", LABELS)
    raw = [f"--images={pairs.images}", f"--masks={pairs.masks}", "--max-reject-fraction=1"]
    ran = run_here(capfd, "evaluate", f"--model={model}", *raw, f"--output={output}")
    assert (ran.code, ran.errors) == (0, [])

    assert _uris(rows_of(output, "images")) == _sound(pairs.images)
    assert _uris(rows_of(output, "rejects")) == _broken(pairs.images)
    assert run_here(capfd, "verify", output).code == 0


HOSTILE = ("<script>alert(1)", "<img src=x onerror=alert(1)>", '" onload="alert(1)', "&lt;b&gt;")


def test_reports_show_names_and_run_nothing(tmp_path, capfd):
    pairs = Pairs(tmp_path / "data", count=0)
    for name in HOSTILE:
        pairs.add(name)
        pairs.add(f"broken {name}")
        (pairs.images / f"broken {name}.png").write_bytes(b"")
    folder = tmp_path / "<b>out"
    model = write_bundle(folder / "model", LABELS)
    sources = [f"--images={pairs.images}", "--max-reject-fraction=1"]
    commands = {
        "ingest": pairs.flags(folder / "ingest", splits="train=1"),
        "label": [f"--model={model}", *sources, f"--output={folder / 'label'}"],
        "evaluate": [
            *(f"--model={model}", *sources),
            *(f"--masks={pairs.masks}", f"--output={folder / 'evaluate'}"),
        ],
    }
    for command, flags in commands.items():
        assert run_here(capfd, command, *flags).code == 0
        page = Page(folder / command / "report.html")
        for name in HOSTILE:
            assert f"broken {name}" in page.text
        names, values = zip(*page.attributes, strict=True)
        assert not {name for name in names if name.startswith("on")}
        assert any("<script>alert(1)" in (value or "") for value in values)  # what a picture shows
        assert all((v or "").startswith("data:") for n, v in page.attributes if n == "src")
        assert "b" not in page.tags


def test_class_names_are_printed_as_they_are(tmp_path, capfd):
    names = ("[/b] a", ":cat:", "<i>x")
    classes = tuple(LabelClass(i, name, LABELS.classes[i].color) for i, name in enumerate(names))
    pairs = Pairs(tmp_path / "data", count=2, label_map=LabelMap(classes))
    model = write_bundle(tmp_path / "model", LabelMap(classes))
    sources = [f"--model={model}", f"--images={pairs.images}"]
    evaluated = [*sources, f"--masks={pairs.masks}", f"--output={tmp_path / 'scores'}"]
    for command, flags in (
        ("label", [*sources, f"--output={tmp_path / 'labels'}"]),
        ("evaluate", evaluated),
    ):
        ran = run_here(capfd, command, *flags)
        assert (ran.code, ran.errors) == (0, [])
        for name in names:
            assert name in ran.out


def test_a_glob_in_a_folder_with_wildcards_in_its_name(pairs, tmp_path, capfd):
    """`[1]` and `*` in a folder that exists are its name, and in a glob they are not."""
    flags = pairs.flags(tmp_path / "out", images=f"{pairs.folder}/im*/*.png")
    assert run_here(capfd, "ingest", *flags).code == 2
    escaped = str(pairs.folder).replace("[", "[[]").replace("*", "[*]")
    flags = pairs.flags(
        tmp_path / "out", images=f"{escaped}/images/*.png", masks=f"{escaped}/masks/*.png"
    )
    assert run_here(capfd, "ingest", *flags).code == 0
    assert _uris(rows_of(tmp_path / "out", "index")) == _sound(pairs.images)


def test_a_name_that_is_no_utf8_is_rejected_and_told(tmp_path, capfd):
    pairs = Pairs(tmp_path / "data", count=2)
    image, mask = scene(0)
    for folder, part in ((pairs.images, image), (pairs.masks, mask)):
        name = bytes(folder) + b"/caf\xe9.png"  # Latin-1
        Path(name.decode(errors="surrogateescape")).write_bytes(encode(part))
    ran = run_here(capfd, "ingest", *pairs.flags(tmp_path / "out"))
    assert (ran.code, ran.errors) == (0, [])
    (reject,) = rows_of(tmp_path / "out", "rejects")
    assert (reject["key"], reject["code"]) == ("caf\N{REPLACEMENT CHARACTER}", "unreadable")
    assert "its name is no valid UTF-8; rename it" in reject["message"]
