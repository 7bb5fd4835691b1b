"""Examples made in a decoder process, rows sent ahead: the same examples, the right file blamed."""

import contextlib
import errno
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segflow.data import contained, decoder_process
from segflow.data.ahead import make_ahead
from segflow.data.augment_config import AugmentationConfig
from segflow.data.config import DecodeLimits, ExampleConfig, IngestConfig
from segflow.data.decoder_process import DecoderProcess, LostError, Task
from segflow.data.handover import encoded
from segflow.data.making import Made, Recipe, make
from segflow.data.packs import Cell, Pack, to_json
from segflow.data.tiles import TileConfig
from segflow.errors import RejectCode, RejectError
from segflow.label_map import LabelClass, LabelMap
from tests.requirements import ROOT
from tests.unit.data.pictures import encode, photo

LABELS = LabelMap((LabelClass(0, "a", (1, 2, 3)), LabelClass(1, "b", raw_ids=(1, 5))), 9, "labels")
CONFIG = ExampleConfig(image_size="8x8", limits=DecodeLimits(decode_seconds=5))
TILES = ExampleConfig(
    image_size="8x8",
    resize="tile",
    tile=TileConfig(overlap=2),
    augmentation=AugmentationConfig(preset="light"),
)
Outcome = list[Made] | str


@pytest.fixture
def ill(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Decoders that fall ill of files that begin with certain words, see tests/faults."""
    contained.close()
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "faults"))
    yield
    contained.close()


def _rows(root: Path, count: int) -> list[dict]:
    rows = []
    for number in range(count):
        image, mask = root / f"{number}.png", root / f"{number}-mask.png"
        image.write_bytes(encode(photo(20 + number, 30), "PNG"))
        ids = (np.indices((20 + number, 30)).sum(0) % 2).astype(np.uint8)
        mask.write_bytes(encode(ids, "PNG"))
        rows.append({"key": str(number), "image_uri": str(image), "mask_uri": str(mask)})
    return rows


def _alone(rows: list[dict], copies: int, recipe: Recipe) -> list[Outcome]:
    """What `make` says of each row, in this process."""
    outcomes: list[Outcome] = []
    for row in rows:
        try:
            outcomes.append(list(make(row, copies, recipe)))
        except RejectError as error:
            outcomes.append(f"{error.code}: {error}")
    return outcomes


def _ahead(rows: list[dict], copies: int, recipe: Recipe) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for row, (found, examples) in zip(rows, make_ahead(rows, copies, recipe), strict=True):
        assert found is row
        try:
            outcomes.append(list(examples))
        except RejectError as error:
            outcomes.append(f"{error.code}: {error}")
    return outcomes


@pytest.mark.parametrize(("config", "copies"), [(CONFIG, 0), (TILES, 2)], ids=["whole", "tiles"])
def test_examples_are_those_made_without_containment(tmp_path, config, copies):
    rows = _rows(tmp_path, 11)
    (tmp_path / "3.png").write_bytes(b"no picture")
    (tmp_path / "7-mask.png").write_bytes(encode(np.full((27, 30), 77, np.uint8), "PNG"))
    (tmp_path / "10.png").unlink()
    recipe = Recipe(config, LABELS, hashes=True)

    outcomes = _ahead(rows, copies, recipe)

    assert outcomes == _alone(rows, copies, recipe)
    codes = [str(o).partition(":")[0] for o in outcomes if isinstance(o, str)]
    assert codes == ["unreadable", "unknown_label", "unreadable"]


def test_a_row_longer_than_a_pipe_is_no_obstacle(tmp_path):
    rows = _rows(tmp_path, 6)
    for row in rows[1::2]:
        row["annotation"] = json.dumps({"kind": "panoptic", "segments": {"1": 0}, "x": "x" * 10**6})

    assert _ahead(rows, 0, Recipe(CONFIG, LABELS)) == _alone(rows, 0, Recipe(CONFIG, LABELS))


def test_large_row_groups_are_read_whatever_a_picture_may_cost(tmp_path):
    (row,) = _rows(tmp_path, 1)
    image, mask = (Path(row[f"{what}_uri"]).read_bytes() for what in ("image", "mask"))
    path = tmp_path / "pack.parquet"
    padded = [[image + bytes([number]) * (12 << 20)] for number in range(36)]  # 432 MiB
    columns = {"image": pa.chunked_array(padded), "mask": [mask] * 36}
    pq.write_table(pa.table(columns), path, use_dictionary=False)
    pack = Pack(str(path), path.stat().st_size)
    cells = {f"{what}_part": to_json(Cell(pack, 0, 9, what)) for what in columns}
    packed = {"key": "0", "image_uri": str(path), "mask_uri": str(path)} | cells
    limits = DecodeLimits(max_pixels=1000, max_bytes=13 << 20)
    recipe = Recipe(ExampleConfig(image_size="8x8", limits=limits), LABELS)

    (outcome,) = _ahead([packed], 0, recipe)
    assert not isinstance(outcome, str), outcome
    assert [made.source for made in outcome] == [(20, 30)]
    assert pq.read_metadata(path).num_row_groups == 1


_BAD = {b"CRASH": "decoder_crash: {}: the decoder died of SIGSEGV"}
_BAD[b"RAISE"] = "decoder_crash: {}: the decoder failed: AttributeError"


@pytest.mark.parametrize("bad", [(0,), (1,), (2, 3), (7,), (0, 4, 8)], ids=str)
@pytest.mark.timeout(120)
def test_a_file_that_the_decoder_dies_of_is_blamed_and_no_other(tmp_path, ill, bad):
    rows = _rows(tmp_path, 9)
    recipe = Recipe(CONFIG, LABELS)
    expected = _alone(rows, 0, recipe)
    causes = itertools.cycle(itertools.product(_BAD, ("image", "mask")))
    for number, (word, what) in zip(bad, causes, strict=False):
        Path(rows[number][f"{what}_uri"]).write_bytes(word)
        expected[number] = _BAD[word].format(what)

    outcomes = _ahead(rows, 0, recipe)

    for number in bad:
        assert str(outcomes[number]).startswith(str(expected[number]))
        outcomes[number] = expected[number]
    assert outcomes == expected


@pytest.mark.timeout(60)
def test_a_file_that_hangs_the_decoder_is_blamed_and_no_other(tmp_path, ill):
    rows = _rows(tmp_path, 6)
    Path(rows[2]["mask_uri"]).write_bytes(b"HANG")
    recipe = Recipe(ExampleConfig(image_size="8x8", limits=DecodeLimits(decode_seconds=2)), LABELS)

    outcomes = _ahead(rows, 0, recipe)

    assert str(outcomes.pop(2)).startswith("decoder_timeout: mask: decoding took longer than 2 s")
    assert outcomes == _alone(rows[:2] + rows[3:], 0, recipe)


def test_a_decoder_killed_from_outside_costs_nothing_though_some_examples_have_come(tmp_path):
    rows = _rows(tmp_path, 3)
    recipe = Recipe(TILES, LABELS)
    made: list[Made] = []

    for _, examples in make_ahead(rows, 1, recipe):
        for number, example in enumerate(examples):
            made.append(example)
            if number == 5:
                for child in psutil.Process().children():
                    child.kill()

    assert made == [m for row in rows for m in make(row, 1, recipe)]


def _kill_decoders() -> None:
    for child in psutil.Process().children():
        child.kill()
        child.wait()


@pytest.mark.parametrize("counts", [(20, 20), (21, 40)], ids=str)
@pytest.mark.timeout(60)
def test_a_decoder_that_dies_between_two_streams_costs_nothing(tmp_path, counts):
    rows, recipe = _rows(tmp_path, max(counts)), Recipe(CONFIG, LABELS)
    expected = _alone(rows, 0, recipe)
    assert _ahead(rows[: counts[0]], 0, recipe) == expected[: counts[0]]

    _kill_decoders()

    assert _ahead(rows[: counts[1]], 0, recipe) == expected[: counts[1]]


def _ahead_killing(rows: list[dict], recipe: Recipe, after: int, pause: float) -> list[Made]:
    """All examples of a stream whose decoder dies when so many have come: idle where it is 0."""
    made: list[Made] = []
    if not after:
        _kill_decoders()
    for _, examples in make_ahead(rows, 1, recipe):
        for example in examples:
            made.append(example)
            if len(made) == after:
                time.sleep(pause)  # seconds; it is at work meanwhile, or waits for room
                _kill_decoders()
    return made


@pytest.mark.parametrize("streams", [5, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.timeout(300)
def test_decoders_that_die_at_any_moment_cost_nothing(tmp_path, streams):
    rows, recipe = _rows(tmp_path, 24), Recipe(TILES, LABELS)
    alone = [list(make(row, 1, recipe)) for row in rows]
    choice = random.Random(streams)

    for number in range(streams):
        start, count = choice.randrange(12), choice.randrange(2, 13)
        part, expected = (
            rows[start : start + count],
            [made for examples in alone[start : start + count] for made in examples],
        )
        after = number and choice.randrange(len(expected))
        assert _ahead_killing(part, recipe, after, choice.choice([0, 0.003, 0.03])) == expected
        # If it died when all was answered, that comes to light here.
        assert _ahead_killing(part, recipe, -1, 0) == expected


def test_answers_to_another_row_are_not_taken(tmp_path):
    rows, recipe = _rows(tmp_path, 2), Recipe(CONFIG, LABELS)
    decoder = DecoderProcess()
    asked = {
        number: encoded({"make": rows[number], "number": number, "copies": 0}) for number in (0, 1)
    }
    decoder.ask(recipe, {0: asked[1], 1: asked[0]})

    with pytest.raises(LostError, match="answered out of turn"):
        list(decoder.answers())
    decoder.kill()


@pytest.mark.parametrize("state", ["owes answers", "is closed"])
def test_a_decoder_that_cannot_serve_is_never_idle(tmp_path, state):
    (row,) = _rows(tmp_path, 1)
    decoder = DecoderProcess()
    if state == "is closed":
        decoder.forget()
    else:
        decoder.ask(Recipe(CONFIG, LABELS), {7: encoded({"make": row, "number": 7, "copies": 0})})

    contained.hand_back(decoder)

    other = contained.borrow()
    assert other is not decoder
    contained.hand_back(other)


@pytest.fixture
def answering(
    ill, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[bytes], int]:
    """Makes decoders answer every row with the same bytes; NUMBER in them is the row's."""
    monkeypatch.setattr(decoder_process, "_MODULE", "rubbish_decoder")
    path = tmp_path_factory.mktemp("rubbish") / "answer"
    monkeypatch.setenv("SEGFLOW_RUBBISH", str(path))
    return path.write_bytes


def _sound(**changes: object) -> dict:
    """The facts of a sound example of `_rows`, but for the changes."""
    sizes = {"height": 8, "width": 8, "channels": 3}
    names = {"image_format": "jpeg", "filename": "0.png", "source_id": "0"}
    facts = {"key": "0", "variant": 0, "record": sizes | names, "class_pixels": [64, 0]}
    facts |= {"ignored_pixels": 0, "augmentation": None, "image_sha256": "ab", "source": [20, 30]}
    facts |= {"tile": None, "image_phash": None, "ground_resolution": None}
    return facts | changes


def _answer(message: object, *sizes: object) -> bytes:
    return json.dumps([message, *sizes]).encode() + b"\n"


def _of_row(*sizes: object, **said: object) -> bytes:
    return _answer({"number": "N"} | said, *sizes).replace(b'"N"', b"NUMBER")


_NO_ANSWERS = {
    "no JSON": b"\xff\n",
    "deep JSON": b"[" * 100_000 + b"\n",
    "no list": b"3\n",
    "an empty list": b"[]\n",
    "no object": _answer(7),
    "an endless line": b"[" + b" " * (1 << 25),
    "a size below 0": _of_row(-1, made=_sound()),
    "a size that is none": _of_row("1", made=_sound()),
    "more bytes than an example has": _of_row(1 << 40, made=_sound()),
    "more parts": _of_row(1, 1, 1, made=_sound()) + b"abc",
    "fewer parts": _of_row(1, made=_sound()) + b"a",
    "another row": _answer({"number": 10**6}),
    "a code that is none": _of_row(code="nonsense", message="x"),
    "a message that is none": _of_row(code="unreadable", message=[]),
    "an errno that is none": _of_row(errno="x", path="y"),
    "an errno too large": _of_row(errno=10**30, path="y"),
    "an error without its path": _of_row(errno=5),
    "no facts": _of_row(1, 1, made=[]) + b"ab",
    "a fact too few": _of_row(1, 1, made={"key": "0"}) + b"ab",
    "a fact too many": _of_row(1, 1, made=_sound(x=1)) + b"ab",
    "no list of counts": _of_row(1, 1, made=_sound(class_pixels="64")) + b"ab",
    "counts that are none": _of_row(1, 1, made=_sound(class_pixels=[-1, 65])) + b"ab",
    "a count too large": _of_row(1, 1, made=_sound(ignored_pixels=1 << 63)) + b"ab",
    "a key of half a character": _of_row(1, 1, made=_sound(key="\udfff")) + b"ab",
    "half a size": _of_row(1, 1, made=_sound(source=[20])) + b"ab",
    "a record that is none": _of_row(1, 1, made=_sound(record=None)) + b"ab",
    "a tile that is none": _of_row(1, 1, made=_sound(tile={"row": 0})) + b"ab",
}


@pytest.mark.parametrize("rubbish", _NO_ANSWERS.values(), ids=_NO_ANSWERS)
@pytest.mark.timeout(60)
def test_a_decoder_that_answers_rubbish_is_taken_for_lost(tmp_path, answering, rubbish):
    answering(rubbish)

    (outcome,) = _ahead(_rows(tmp_path, 1), 0, Recipe(CONFIG, LABELS))

    assert str(outcome).startswith("decoder_crash: the decoder "), outcome


def test_half_a_character_in_a_message_is_shown_as_such(tmp_path, answering):
    answering(_of_row(code="unreadable", message="\ud800"))

    assert _ahead(_rows(tmp_path, 1), 0, Recipe(CONFIG, LABELS)) == ["unreadable: ?"]


def test_a_sound_answer_is_none_of_that(tmp_path, answering):
    answering(_of_row(1, 1, made=_sound()) + b"ab" + _of_row())

    ((made,),) = _ahead(_rows(tmp_path, 1), 0, Recipe(CONFIG, LABELS))

    assert (made.record.image, made.record.mask, made.source) == (b"a", b"b", (20, 30))


@pytest.mark.parametrize(
    "rubbish",
    [
        _answer({}),
        _answer({"shape": 3, "dtype": "uint8"}),
        _answer({"shape": [-1, -1], "dtype": "uint8"}),
        _answer({"shape": [1 << 40], "dtype": "uint8"}),
        _answer({"shape": [2, 2], "dtype": "uint8"}),  # which are not in the shared memory
        _answer({"shape": [0], "dtype": "object"}),
        _answer({"shape": [0], "dtype": [["a", "O"]]}),
    ],
    ids=str,
)
@pytest.mark.timeout(60)
def test_pixels_that_are_none_are_taken_for_a_lost_decoder(answering, rubbish):
    answering(rubbish)

    with pytest.raises(RejectError, match="the decoder ") as caught:
        contained.decode_raw_mask(b"x", CONFIG.limits)
    assert caught.value.code == RejectCode.DECODER_CRASH


def test_a_note_that_is_rubbish_is_not_believed():
    decoder = DecoderProcess()
    decoder.due.append(3)
    notes = [b"", b"7\n", b"[" * 10**5, b"[3, 4]\n", b'[3, "rgb", 5]\n', b"[[3]]\n", b"[4]\n"]
    for note in notes:
        decoder._memory.put(note.ljust(10**5))
        assert decoder.at() == (Task(""), None)
    decoder._memory.put(b'[3, "rgb", "x"]\n')
    assert decoder.at() == (Task("rgb", options={"path": "x"}), 3)
    decoder.kill()


def test_storage_that_fails_is_no_fault_of_the_file(tmp_path):
    rows = _rows(tmp_path, 3)
    rows[1]["image_uri"] = "/proc/self/mem"  # a file that cannot be read at its beginning

    with contextlib.closing(make_ahead(rows, 0, Recipe(CONFIG, LABELS))) as stream:
        assert len(list(next(stream)[1])) == 1
        with pytest.raises(OSError, match="Input/output error") as caught:
            list(next(stream)[1])
        assert caught.value.errno == errno.EIO
        assert len(list(next(stream)[1])) == 1


def test_what_is_wrong_with_examples_that_nobody_takes_is_not_raised(tmp_path):
    rows, recipe = _rows(tmp_path, 4), Recipe(CONFIG, LABELS)
    Path(rows[1]["image_uri"]).write_bytes(b"no picture")
    rows[2]["image_uri"] = "/proc/self/mem"  # a file that cannot be read at its beginning

    assert [row["key"] for row, _ in make_ahead(rows, 0, recipe)] == ["0", "1", "2", "3"]


@pytest.mark.timeout(60)
def test_a_decoder_that_closes_its_answers_and_lives_on_is_ended(tmp_path, answering, monkeypatch):
    monkeypatch.setattr(decoder_process, "_GRACE", 0.1)
    answering(b"")

    (outcome,) = _ahead(_rows(tmp_path, 1), 0, Recipe(CONFIG, LABELS))

    assert outcome == "decoder_crash: the decoder closed its answers and lived on"
    assert not [c for c in psutil.Process().children() if "rubbish_decoder" in c.cmdline()]


def test_a_mistake_of_ours_is_not_blamed_on_a_file(tmp_path):
    (row,) = _rows(tmp_path, 1)
    del row["mask_uri"]

    with pytest.raises(RuntimeError, match=r"(?s)a decoder process failed:.*KeyError: 'mask_uri'"):
        _ahead([row], 0, Recipe(CONFIG, LABELS))


def test_a_decoder_is_used_again_unless_it_was_left_at_work(tmp_path):
    rows, recipe = _rows(tmp_path, 12), Recipe(CONFIG, LABELS)
    contained.close()
    others = set(psutil.Process().children())

    def started() -> set[psutil.Process]:
        return set(psutil.Process().children()) - others

    _ahead(rows, 0, recipe)
    first = started()
    assert len(first) == 1
    _ahead(rows, 0, Recipe(TILES, LABELS))
    assert started() == first

    stream = make_ahead(rows, 0, recipe)
    next(next(stream)[1])
    assert started() == first
    stream.close()

    assert started() == set()


def test_a_recipe_comes_through_as_it_was():
    config = IngestConfig(
        **{"images": "a", "output": "b", "image_size": "8x8", "resize": "letterbox"},
        **{"value_range": "1,99", "tile": TileConfig(edge="drop"), "augment_copies": 2},
        augmentation=AugmentationConfig(preset="aerial"),
        limits=DecodeLimits(max_pixels=1000),
    )
    plain = LabelClass(1, "b", raw_names=("z",)), LabelClass(0, "a", (1, 2, 3))
    labels = LabelMap(plain[::-1], 9, "x", (7,), ((9, 9, 9),), ("n",), 128)

    read = Recipe.from_dict(json.loads(json.dumps(Recipe(config, labels, hashes=True).to_dict())))

    same = {name: getattr(config, name) for name in ExampleConfig.__dataclass_fields__}
    assert read == Recipe(ExampleConfig(**same), labels, hashes=True)
    assert read.label_map.source == "x"
