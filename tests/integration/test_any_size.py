"""`segflow label` on pictures of any size: windows, giants read by rows, memory, flags."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from benchmarks.process_memory import measure
from segflow.data.mask_formats import bands, decode
from segflow.label.sliding import Slider, whole_logits
from segflow.label_map import LabelClass, LabelMap
from tests import giants
from tests.blending import in_memory
from tests.bundles import write_bundle
from tests.drawn import rows_of
from tests.programs import IN_MEMORY, run_here

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")

COLORS = [(i * 50, 255 - i * 30, i % 2 * 200) for i in range(giants.CLASSES)]  # as they are drawn
LABELS = LabelMap(tuple(LabelClass(i, f"class_{i}", rgb) for i, rgb in enumerate(COLORS)))
MIB = 1 << 20


def _words(folder: Path, **changes: object) -> list[str]:
    flags = {name: folder / name for name in ("model", "images")}
    flags["output"] = folder / "labels"
    return [f"--{n.replace('_', '-')}={v}" for n, v in {**flags, **changes}.items()]


def _require_truth(folder: Path, height: int, width: int) -> None:
    """The mask of the only image is what was drawn, to the last pixel, and so are its areas."""
    (row,) = rows_of(folder, "images")
    counts, top = np.zeros(giants.CLASSES, np.int64), 0
    for band in bands(row["mask"], row["mask_format"]):
        expected = giants.truth(top, 0, len(band), width)
        assert np.array_equal(band, expected)
        counts += np.bincount(expected.ravel(), minlength=giants.CLASSES)
        top += len(band)
    assert (row["height"], row["width"], top) == (height, width, height)
    areas = {row["class_id"]: row["pixels"] for row in rows_of(folder, "areas")}
    assert areas == dict(enumerate(counts.tolist()))


def test_a_picture_over_the_caps_gives_what_blending_in_memory_gives(tmp_path, capfd):
    """With a model that looks around each pixel, and so answers otherwise at a window's edge."""
    size, height, width = (192, 256), 3000, 4000
    pixels = keras.Input((*size, 3))
    around = keras.layers.Conv2D(giants.CLASSES, 3, padding="same", dilation_rate=5)
    model = keras.Model(pixels, around(keras.layers.Rescaling(1 / 127.5, -1)(pixels)))
    kernel = np.random.default_rng(0).normal(0, 0.5, (3, 3, 3, giants.CLASSES))
    around.set_weights([kernel, np.zeros(giants.CLASSES)])
    write_bundle(tmp_path / "model", LABELS, size, "stretch", model)
    giants.draw(tmp_path, height, width)
    picture = giants.picture(0, 0, height, width)

    def forward(windows: np.ndarray) -> np.ndarray:
        return model(windows.astype(np.float32)).numpy()

    ran = run_here(capfd, "label", *_words(tmp_path), "--limits.max-pixels=1000000")

    assert ran.code == 0, ran.errors
    expected = in_memory(picture, forward, size, 0.25)
    slider = Slider(size, 0.25, 8, forward)
    blocks = slider(lambda top, count: picture[top : top + count], (height, width))
    assert np.abs(whole_logits(blocks, (height, width)) - expected).max() < 1e-4
    (row,) = rows_of(tmp_path / "labels", "images")
    second, first = np.partition(expected, -2, axis=-1)[..., -2:].transpose(2, 0, 1)
    clear = first - second > 1e-4
    assert clear.mean() > 0.99
    assert np.array_equal(decode(row["mask"], "png")[clear], expected.argmax(-1)[clear])
    probabilities = np.exp(first) / np.exp(expected).sum(-1)
    assert row["mean_confidence"] == pytest.approx(probabilities.mean(), abs=1e-5)


def test_memory_does_not_grow_with_the_pictures_height(tmp_path, capfd):
    """In memory the taller one would have 77 MiB of pixels and 515 MiB of logits more."""
    height = width = 6000
    peaks = {}
    for name, rows in (("small", 1500), ("large", height)):
        giants.draw(tmp_path / name, rows, width)
        write_bundle(tmp_path / name / "model", LABELS, (256, 256), "letterbox")
        words = _words(tmp_path / name, **{"limits.max-pixels": 80_000})
        peaks[name] = measure(["label", *words, IN_MEMORY]).tree

    assert peaks["large"] - peaks["small"] < 150 * MIB
    _require_truth(tmp_path / "large/labels", height, width)
    for command in ("verify", "report"):
        ran = run_here(capfd, command, tmp_path / "large/labels")
        assert ran.code == 0, ran.errors
    assert "over the cap of 80000" in (tmp_path / "large/labels/report.html").read_text()


def test_windows_may_slide_over_every_picture_at_its_own_scale(tmp_path, capfd):
    """No pixel of this would survive any resizing."""
    write_bundle(tmp_path / "model", LABELS, (24, 32), "stretch")
    (tmp_path / "images").mkdir()
    random, drawn = np.random.default_rng(0), {}
    for size in ((100, 150), (20, 30), (40, 12)):
        ids = drawn[size] = random.integers(0, giants.CLASSES, size, np.uint8)
        path = tmp_path / f"images/{size[0]}.png"
        Image.fromarray(np.array(COLORS, np.uint8)[ids]).save(path)

    flags = {"windows": "always", "window-overlap": 0.5, "mask_format": "rle"}
    ran = run_here(capfd, "label", *_words(tmp_path, **flags))

    assert ran.code == 0, ran.errors
    rows = rows_of(tmp_path / "labels", "images")
    assert {(row["height"], row["width"]) for row in rows} == set(drawn)
    for row in rows:
        assert np.array_equal(decode(row["mask"], "rle"), drawn[row["height"], row["width"]])
    record = json.loads(next((tmp_path / "labels/runs").iterdir()).read_text())
    assert record["config"]["windows"] == "always"
    assert record["config"]["window_overlap"] == 0.5
    again = run_here(capfd, "label", *_words(tmp_path, **flags | {"windows": "auto"}))
    assert again.code == 2
    assert "--windows auto: this model has labelled into" in again.line


def test_the_cap_of_pixels_does_not_pass_an_image_that_is_labelled(tmp_path, capfd):
    """On its other side the image would be seen in another way."""
    write_bundle(tmp_path / "model", LABELS, (24, 32), "stretch")
    (tmp_path / "images").mkdir()
    Image.new("RGB", (150, 100)).save(tmp_path / "images/a.png")
    assert run_here(capfd, "label", *_words(tmp_path, **{"limits.max-pixels": 16_000})).code == 0

    past = run_here(capfd, "label", *_words(tmp_path, **{"limits.max-pixels": 14_000}))
    assert past.code == 2
    assert "--limits.max-pixels 14000: this model has labelled" in past.line
    other = run_here(capfd, "label", *_words(tmp_path, **{"limits.max-pixels": 18_000}))
    assert "nothing new to label" in other.out


def test_without_windows_giants_are_too_large(tmp_path, capfd):
    write_bundle(tmp_path / "model", LABELS, (24, 32), "stretch")
    giants.draw(tmp_path, 300, 500)

    words = _words(tmp_path, windows="never", max_reject_fraction=1)
    assert run_here(capfd, "label", *words, "--limits.max-pixels=100000").code == 0

    (reject,) = rows_of(tmp_path / "labels", "rejects")
    assert (reject["key"], reject["code"]) == ("giant", "too_large")


@pytest.mark.parametrize("command", ["label", "evaluate"])
def test_a_model_of_tiles_needs_windows(tmp_path, capfd, command):
    write_bundle(tmp_path / "model", LABELS, (24, 32), "tile")
    giants.draw(tmp_path, 30, 50)

    words = _words(tmp_path, windows="never", window_overlap=0)
    masks = [f"--masks={tmp_path / 'masks'}"] if command == "evaluate" else []
    ran = run_here(capfd, command, *words, *masks)

    assert ran.code == 2
    assert "--windows never: the model was trained with --resize tile" in ran.line


def test_evaluate_scores_pictures_at_their_own_scale_where_windows_always_slide(tmp_path, capfd):
    write_bundle(tmp_path / "model", LABELS, (24, 32), "stretch")
    giants.draw(tmp_path, 90, 130)  # with single pixels strewn over it

    flags = {"masks": tmp_path / "masks", "windows": "always", "output": tmp_path / "scores"}
    ran = run_here(capfd, "evaluate", *_words(tmp_path, **flags))

    assert ran.code == 0, ran.errors
    metrics = json.loads((tmp_path / "scores/metrics.json").read_text())
    assert metrics["pixel_accuracy"] == 1
    assert metrics["config"]["windows"] == "always"


@pytest.mark.slow
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("mask_format", ["png", "rle"])
def test_a_gigapixel_is_labelled_in_less_than_two_gigabytes(tmp_path, mask_format):
    height = width = 30_000
    write_bundle(tmp_path / "model", LABELS, (512, 512), "stretch")
    giants.draw(tmp_path, height, width)

    peaks = measure(["label", *_words(tmp_path, mask_format=mask_format)])

    assert peaks.tree < 2 * 2**30
    _require_truth(tmp_path / "labels", height, width)
