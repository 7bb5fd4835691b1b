"""Adjusted areas, against the estimator written out; and why there are none."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from segflow.references.adjustment import adjusted_for_labels
from tests.references import MODEL, write_reference

NAMES = ("sky", "road", "car")
MAPPED = (50_000, 30_000, 20_000)


def _matrices(images: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Mostly right, with shares of the classes like those of `MAPPED`."""
    rng = np.random.default_rng(seed)
    chances = np.array([[46, 3, 1], [2, 26, 2], [2, 1, 17]])
    return rng.poisson(chances * rng.gamma(3, 1, (images, 3, 1)))


def _classes(pixels: Sequence[int] = MAPPED, **more: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"id": i, "name": name, "pixels": pixels[i], **{k: v[i] for k, v in more.items()}}
        for i, name in enumerate(NAMES)
    ]


def _adjusted(bundle: Path, tta: str = "none", **more: Any) -> dict[str, Any]:
    config = {"tta": tta, "windows": "auto"}
    return adjusted_for_labels(
        bundle, MODEL, config, _classes(**more), {"pixels": 400, "area": 400}
    )


def _by_hand(matrices: np.ndarray[Any, Any], j: int) -> tuple[float, float]:
    """Share of class j, and its standard error, term by term; 400 images are mapped."""
    count, total = len(matrices), sum(MAPPED)
    share, residuals = 0.0, [0.0] * count
    for i, mapped in enumerate(MAPPED):
        predicted = sum(int(m[t][i]) for m in matrices for t in range(3))
        truly = sum(int(m[j][i]) for m in matrices) / predicted
        share += mapped / total * truly
        for k, matrix in enumerate(matrices):
            here = sum(int(matrix[t][i]) for t in range(3))
            mean = predicted / count
            residuals[k] += mapped / total / mean * (int(matrix[j][i]) - truly * here)
    sizes = [int(m.sum()) for m in matrices]
    effective = sum(sizes) ** 2 / sum(size**2 for size in sizes)
    variance = sum(r * r for r in residuals) / (count - 1) / count
    return share, math.sqrt(variance * (1 + effective / 400))


def test_numbers_are_those_of_the_estimator_written_out(tmp_path: Path) -> None:
    matrices = _matrices(35)
    write_reference(tmp_path, matrices)

    found = _adjusted(tmp_path)

    assert (found["level"], found["reason"], found["warnings"]) == (0.95, None, [])
    quantile = stats.t(34).ppf(0.975)
    for j, row in enumerate(found["classes"]):
        share, error = (value * sum(MAPPED) for value in _by_hand(matrices, j))
        assert (row["id"], row["name"], row["pixels"]) == (j, NAMES[j], MAPPED[j])
        assert row["adjusted_pixels"] == pytest.approx(share)
        assert row["pixels_standard_error"] == pytest.approx(error)
        margin = quantile * error
        assert row["pixels_interval"] == pytest.approx([share - margin, share + margin])
        assert row["area"] is row["adjusted_area"] is row["area_interval"] is None
    assert found["reference"]["images"] == 35
    assert found["reference"]["path"] == str(tmp_path / "references/r1.json")
    assert found["reference"]["data"] == {"images": "/photos", "masks": "/masks"}


def test_areas_are_adjusted_in_their_own_unit(tmp_path: Path) -> None:
    """Here pixels of all sizes, so that the classes' shares of the area are other ones."""
    write_reference(tmp_path, _matrices(35))
    by_area = _adjusted(tmp_path, area=[25.0, 40.0, None])["classes"]
    as_pixels = _adjusted(tmp_path, pixels=(25, 40, 0))["classes"]
    for row, expected in zip(by_area, as_pixels, strict=True):
        assert row["pixels"] == MAPPED[row["id"]]
        assert row["area"] == expected["pixels"]
        assert row["adjusted_area"] == pytest.approx(expected["adjusted_pixels"])
        assert row["area_standard_error"] == pytest.approx(expected["pixels_standard_error"])
        assert row["area_interval"] == pytest.approx(expected["pixels_interval"])


def test_one_image_gives_areas_without_intervals(tmp_path: Path) -> None:
    write_reference(tmp_path, _matrices(1))
    found = _adjusted(tmp_path)
    assert found["classes"][0]["adjusted_pixels"] > 0
    assert found["classes"][0]["pixels_standard_error"] is None
    assert found["classes"][0]["pixels_interval"] is None
    assert found["warnings"][0].startswith("the reference has 1 image only")


def test_a_reference_of_few_images_is_warned_of(tmp_path: Path) -> None:
    write_reference(tmp_path, _matrices(29))
    assert _adjusted(tmp_path)["warnings"] == [
        "the reference has 29 images only: too few to rely on intervals"
    ]


@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        ((48_000, 34_000, 18_000), None),
        ((20_000, 55_000, 25_000), "sky 20.0% (there 50.0%), road 55.0% (there 30.0%)"),
        ((65_000, 34_000, 1_000), "car 1.0% (there 20.0%), sky 65.0% (there 50.0%)"),
    ],
)
def test_shares_far_from_those_of_the_reference_are_warned_of(
    tmp_path: Path, pixels: Sequence[int], told: str | None
) -> None:
    matrix = np.array([[500, 0, 0], [0, 300, 0], [0, 0, 200]])
    write_reference(tmp_path, np.stack([matrix] * 30))
    warnings = _adjusted(tmp_path, pixels=pixels)["warnings"]
    assert len(warnings) == (told is not None)
    assert all(f"than in the reference: {told};" in line for line in warnings)


def test_a_rare_class_that_is_many_times_as_frequent_is_warned_of(tmp_path: Path) -> None:
    matrix = np.array([[700, 0, 0], [0, 299, 0], [0, 0, 1]])
    write_reference(tmp_path, np.stack([matrix] * 30))
    (line,) = _adjusted(tmp_path, pixels=(69_000, 29_000, 2_000))["warnings"]
    assert "reference: car 2.0% (there 0.1%); they" in line


def test_that_nobody_knows_what_was_trained_on_is_warned_of(tmp_path: Path) -> None:
    write_reference(tmp_path, _matrices(30), trained_on=None)
    (line,) = _adjusted(tmp_path)["warnings"]
    assert "the dataset that the model was trained on is not at hand" in line


def test_a_mapped_class_that_was_never_predicted_leaves_all_unknown(tmp_path: Path) -> None:
    matrices = _matrices(30)
    matrices[:, :, 2] = 0
    write_reference(tmp_path, matrices)
    found = _adjusted(tmp_path)
    assert found["classes"] is None
    assert found["reason"] == "'car': 20.0% of the map, but never predicted in the reference"
    assert found["reference"]["images"] == 30
    assert _adjusted(tmp_path, pixels=(60, 40, 0))["classes"] is not None


def test_a_few_pixels_of_a_class_that_was_never_predicted_do_not(tmp_path: Path) -> None:
    matrices = _matrices(30)
    matrices[:, :, 2] = 0
    write_reference(tmp_path, matrices)
    found = _adjusted(tmp_path, pixels=(60_000, 40_000, 200))
    assert found["classes"][2]["adjusted_pixels"] > 200
    assert found["classes"][2]["pixels_interval"] is None
    assert found["classes"][0]["pixels_interval"] is not None
    assert found["warnings"][0] == (
        "never predicted in the reference: car; 0.2 % of the map is left as mapped, and may be "
        "anything: intervals are wider by as much"
    )


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (1, "predicted in one image of the reference only: car; what is"),
        (9, "few images of the reference predict or show car (9 and 30): their"),
        (10, None),
    ],
)
def test_a_class_that_few_reference_images_predict_is_warned_of(
    tmp_path: Path, images: int, told: str | None
) -> None:
    matrices = np.array([[[460, 3, 0], [2, 260, 0], [2, 1, 170]]] * 30)
    matrices[images:, 2] = [172, 1, 0]
    write_reference(tmp_path, matrices)
    found = _adjusted(tmp_path, pixels=(60_000, 30_000, 6_000 * images // 10))
    row = found["classes"][2]
    assert (row["images_predicting"], row["images_showing"]) == (images, 30)
    assert (row["pixels_interval"] is None) == (images == 1)
    warnings = [line for line in found["warnings"] if "other shares" not in line]
    assert len(warnings) == (told is not None)
    assert all(line.startswith(str(told)) for line in warnings)


def test_without_a_pixel_there_is_nothing_to_adjust(tmp_path: Path) -> None:
    write_reference(tmp_path, _matrices(30))
    found = _adjusted(tmp_path, pixels=(0, 0, 0))
    assert (found["classes"], found["reason"]) == (None, "no pixel is mapped")


def test_without_a_reference_it_says_what_to_do(tmp_path: Path) -> None:
    found = _adjusted(tmp_path)
    assert found["reference"] is found["classes"] is None
    assert "holds no reference: score the model with segflow evaluate" in found["reason"]
    assert _adjusted(tmp_path / "gone")["reason"].endswith("gone is not there any more")


def test_only_what_was_scored_as_it_labels_is_a_reference(tmp_path: Path) -> None:
    write_reference(tmp_path, _matrices(99), "r1", tta="flip")
    write_reference(tmp_path, _matrices(99), "r2", model_fingerprint="cd" * 32)
    write_reference(tmp_path, _matrices(99), "r3", windows="always")
    assert _adjusted(tmp_path)["reason"].endswith(
        "r3.json was not made with --tta none --windows auto: evaluate so"
    )
    assert _adjusted(tmp_path, "flip")["reference"]["path"].endswith("r1.json")
    write_reference(tmp_path, _matrices(9), "r4", windows="auto")
    assert _adjusted(tmp_path)["reference"]["path"].endswith("r4.json")


_STORED = {"size": "stored", "data": {"dataset": "/data", "split": "val"}}
_TEST = {"size": "stored", "data": {"dataset": "/data", "split": "test"}}


@pytest.mark.parametrize("names", [("r1", "r2"), ("r2", "r1")])
@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ((29, {}), (30, {"trained_on": None})),
        ((99, {"trained_on": None}), (30, _STORED)),
        ((99, _STORED), (30, _TEST)),
        ((99, _TEST), (30, {})),
        ((30, {}), (31, {})),
        ((30, {}), (30, {"started": "2026-02-01T00:00:00Z"})),
    ],
)
def test_of_several_the_one_that_fits_best_is_taken(
    tmp_path: Path,
    names: tuple[str, str],
    worse: tuple[int, dict[str, Any]],
    better: tuple[int, dict[str, Any]],
) -> None:
    for name, (images, changes) in zip(names, (worse, better), strict=True):
        write_reference(tmp_path, _matrices(images), name, **changes)
    assert _adjusted(tmp_path)["reference"]["path"].endswith(f"{names[1]}.json")


def test_a_damaged_reference_is_told_and_passed_over(tmp_path: Path) -> None:
    write_reference(tmp_path, _matrices(40), "r1")
    damaged = write_reference(tmp_path, _matrices(50), "r2").with_suffix(".parquet")
    damaged.write_bytes(b"cut")
    found = _adjusted(tmp_path)
    assert found["reference"]["images"] == 40
    assert found["warnings"][0].startswith(f"{damaged}: 3 bytes, the record says")
    (tmp_path / "references/r1.json").unlink()
    found = _adjusted(tmp_path)
    assert found["classes"] is None
    assert len(found["warnings"]) == 1


def test_a_folder_of_references_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "references").write_bytes(b"")
    found = _adjusted(tmp_path)
    assert found["classes"] is None
    assert found["warnings"][0].startswith(f"{tmp_path}/references: no references can be read: ")


def test_a_bundle_that_cannot_be_looked_at_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(Path, "is_dir", refuse)
    monkeypatch.setattr(Path, "iterdir", refuse)
    found = _adjusted(tmp_path)
    assert found["classes"] is None
    assert found["warnings"][0].endswith("no references can be read: not yours")


def test_a_reference_of_other_images_than_it_says_is_none(tmp_path: Path) -> None:
    write_reference(tmp_path, _matrices(35), images=99)
    assert "35 images found, the record says 99" in _adjusted(tmp_path)["reason"]


@pytest.mark.parametrize(
    ("resize", "windows", "fits"),
    [
        ("stretch", "auto", True),
        ("letterbox", "never", True),
        ("crop", "auto", True),
        ("tile", "auto", True),
        ("tile", "always", True),
        ("stretch", "always", False),
        ("letterbox", "always", False),
        ("crop", "always", False),
    ],
)
def test_stored_examples_are_a_reference_of_what_was_seen_at_their_scale(
    tmp_path: Path, resize: str, windows: str, fits: bool
) -> None:
    write_reference(tmp_path, _matrices(35), resize=resize, **_TEST)
    config = {"tta": "none", "windows": windows, "window_overlap": 0.25}
    images = {"pixels": 400, "area": None}
    found = adjusted_for_labels(tmp_path, MODEL, config, _classes(), images)
    assert (found["classes"] is not None) == fits
    assert fits or f"r1.json is of stored examples ({resize})" in found["reason"]


def test_giants_that_stored_examples_do_not_stand_for_are_warned_of(tmp_path: Path) -> None:
    write_reference(tmp_path, _matrices(35), resize="stretch", **_TEST)
    config = {"tta": "none", "windows": "auto"}
    images = {"pixels": 400, "area": None}
    found = adjusted_for_labels(tmp_path, MODEL, config, _classes(), images, by_rows=2)
    assert found["warnings"][0].startswith("windows slid over 2 giants")


def test_a_split_that_the_model_knows_is_warned_of_or_refused(tmp_path: Path) -> None:
    write_reference(tmp_path, _matrices(35), **_STORED)
    assert any("val may have chosen the weights" in w for w in _adjusted(tmp_path)["warnings"])
    train = {"dataset": "/data", "split": "train"}
    write_reference(tmp_path / "b", _matrices(35), size="stored", data=train, trained_on=None)
    assert "of the split 'train', which models are" in _adjusted(tmp_path / "b")["reason"]
