"""`segflow evaluate`: what it writes, against the same pictures scored by other means."""

import csv
import shutil

import keras
import numpy as np
import pytest
from PIL import Image
from scipy import stats
from sklearn import metrics as sklearn_metrics

from segflow import storage
from segflow.data.config import DecodeLimits
from segflow.data.reading import ReadingConfig
from segflow.data.resize import place, resize_image
from segflow.evaluate.command import evaluate
from segflow.evaluate.config import EvaluateConfig
from segflow.report import draw
from segflow.scores.boundary import boundary_counts
from segflow.verify import verify
from tests.bundles import write_bundle
from tests.drawn import LABELS, Pairs, decode, encode, rows_of, scene
from tests.programs import IN_MEMORY, run_here

MODEL_SIZE, SIZE = (16, 24), (32, 60)
SPOILT = "pair-2"


def _sharp_model():
    """Each pixel gets the class whose colour is nearest, and is sure of it."""
    colors = LABELS.palette() / 127.5 - 1
    pixels = keras.Input((*MODEL_SIZE, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    layer = keras.layers.Conv2D(3, 1, name="logits")
    model = keras.Model(pixels, layer(scaled), name="sharp")
    layer.set_weights([12 * colors.T[None, None], -6 * (colors**2).sum(1)])
    return model


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Ten pairs larger than the model, listed in groups; in one mask the disc is called a bar."""
    pairs = Pairs(tmp_path_factory.mktemp("pairs"), count=0)
    with (pairs.folder / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "mask", "group", "split"])
        for number in range(10):
            image, mask = scene(number, SIZE)
            name = f"pair-{number}"
            mask[mask == 1] = 2 if name == SPOILT else 1
            (pairs.images / f"{name}.png").write_bytes(encode(image))
            (pairs.masks / f"{name}.png").write_bytes(encode(mask))
            group = ["harbour", "hill", ""][number % 3]
            split = "val" if number % 2 else "train"
            writer.writerow([f"images/{name}.png", f"masks/{name}.png", group, split])
    return pairs


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "m"
    return write_bundle(folder, LABELS, MODEL_SIZE, model=_sharp_model())


def _evaluate(pairs, model, output, **options):
    config = EvaluateConfig(
        model=str(model), images=str(pairs.folder / "list.csv"), output=str(output), **options
    )
    return evaluate(config, [IN_MEMORY])


@pytest.fixture(scope="module")
def folder(pairs, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation") / "e"
    _evaluate(pairs, model, folder)
    return folder


@pytest.fixture(scope="module")
def found(folder):
    return storage.read_json(folder / "metrics.json")


@pytest.fixture(scope="module")
def rows(folder):
    return {row["key"].removeprefix("images/"): row for row in rows_of(folder, "images")}


def _truth(pairs, key):
    return decode((pairs.masks / f"{key}.png").read_bytes())


def test_scores_are_those_of_all_pixels_of_all_images(found, rows, pairs):
    truth = np.stack([_truth(pairs, key) for key in rows])
    prediction = np.stack([decode(row["prediction"]) for row in rows.values()])
    kept = truth != LABELS.ignore_id
    expected = sklearn_metrics.confusion_matrix(truth[kept], prediction[kept], labels=range(3))
    assert found["confusion_matrix"] == expected.tolist()
    weighted = sklearn_metrics.jaccard_score(truth[kept], prediction[kept], average="weighted")
    assert found["frequency_weighted_iou"] == pytest.approx(weighted)
    counts = sum(boundary_counts(t, p, 3, 255) for t, p in zip(truth, prediction, strict=True))
    boundary = [values["boundary_iou"] for values in found["per_class"].values()]
    np.testing.assert_allclose(boundary, counts[0] / counts[1])
    assert min(boundary) < found["mean_boundary_iou"] < max(boundary) < 1


def test_each_image_has_its_counts(rows, pairs):
    assert len(rows) == 10
    for key, row in rows.items():
        truth, prediction = _truth(pairs, key), decode(row["prediction"])
        counts = [row["boundary_intersection"], row["boundary_union"]]
        assert counts == boundary_counts(truth, prediction, 3, 255).tolist()
        assert sum(row["confusion_matrix"]) == row["valid_pixels"] == (truth != 255).sum()


def test_groups_are_those_of_the_manifest(found, rows):
    assert {name: g["examples"] for name, g in found["by_group"].items()} == {
        "harbour": 4,
        "hill": 3,
    }
    members = [np.array(r["confusion_matrix"]) for r in rows.values() if r["group"] == "hill"]
    total = sum(members).reshape(3, 3)
    accuracy = np.trace(total) / total.sum()
    assert found["by_group"]["hill"]["pixel_accuracy"] == pytest.approx(accuracy)
    assert found["groups"] == 2


def test_confidences_are_compared_with_the_truth_at_the_models_size(found, pairs, model):
    network = keras.models.load_model(model / "model.keras")
    expected = np.zeros((2, 15))
    for number in range(10):
        image = decode((pairs.images / f"pair-{number}.png").read_bytes())
        small = resize_image(image, place(SIZE, MODEL_SIZE, "stretch"))
        logits = network.predict(small[None].astype("float32"), verbose=0)[0].astype(float)
        chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        picture = Image.fromarray(_truth(pairs, f"pair-{number}"))
        truth = np.asarray(picture.resize(MODEL_SIZE[::-1], Image.Resampling.NEAREST))
        right, kept = chances.argmax(-1) == truth, truth != 255
        for row, which in enumerate((kept, kept & right)):
            expected[row] += np.histogram(chances.max(-1)[which], 15, (0, 1))[0]
    bins = found["calibration"]["bins"]
    assert [bins["pixels"], bins["hits"]] == expected.astype(int).tolist()
    assert 0 < found["calibration"]["expected_calibration_error"] < 0.2


def test_the_mask_that_was_spoilt_is_the_most_doubtful(folder, rows):
    ranked = sorted(rows, key=lambda key: -rows[key]["confident_disagreement"])
    assert ranked[0] == SPOILT
    spoilt, next_one = (rows[key]["confident_disagreement"] for key in ranked[:2])
    assert spoilt > 2 * next_one
    doubtful = decode(rows[SPOILT]["doubtful"])
    assert doubtful.shape == MODEL_SIZE
    assert spoilt == pytest.approx(doubtful.sum() / (MODEL_SIZE[0] * MODEL_SIZE[1]), rel=0.1)
    page = draw(folder).read_text()
    assert "mostly bar in the mask, disc to the model" in page.partition("Perhaps mislabelled")[2]


def test_how_pictures_were_read_is_recorded(found):
    assert found["config"]["reading"] == ReadingConfig().to_dict()
    assert found["config"]["limits"] == vars(DecodeLimits())


def test_shards_do_not_change_a_score(found, pairs, model, tmp_path):
    again = _evaluate(pairs, model, tmp_path / "e", shard_size=3)
    for name in ("intervals", "by_group", "per_class", "confusion_matrix", "mean_boundary_iou"):
        assert again[name] == found[name]
    assert verify(tmp_path / "e") == ("evaluation", [])


def test_a_dataset_has_its_groups_too(pairs, model, tmp_path, capfd):
    manifest = pairs.folder / "list.csv"
    flags = pairs.flags(tmp_path / "dataset", images=manifest, masks=None)
    assert run_here(capfd, "ingest", *flags).code == 0
    config = EvaluateConfig(
        model=str(model), dataset=str(tmp_path / "dataset"), output=str(tmp_path / "e")
    )
    found = evaluate(config, [IN_MEMORY])
    examples = {name: group["examples"] for name, group in found["by_group"].items()}
    expected: dict[str, int] = {}
    for row in rows_of(tmp_path / "dataset", "index"):
        if row["split"] == "val" and row["group"]:
            expected[row["group"]] = expected.get(row["group"], 0) + 1
    assert examples == expected
    assert examples
    assert verify(tmp_path / "e") == ("evaluation", [])


def test_labels_of_the_model_are_adjusted_by_what_was_scored(rows, pairs, model, tmp_path, capfd):
    """The bundle takes the counts of each image from `evaluate` to `label`."""
    output = tmp_path / "labels"
    flags = (f"--model={model}", f"--images={pairs.images}", f"--output={output}")
    ran = run_here(capfd, "label", *flags)
    assert (ran.code, ran.errors) == (0, [])
    (path,) = output.glob("runs/*.json")
    found = storage.read_json(path)["adjusted_areas"]

    counts = np.array([row["confusion_matrix"] for row in rows.values()], float).reshape(-1, 3, 3)
    mapped = np.zeros(3)
    for row in rows_of(output, "areas"):
        mapped[row["class_id"]] += row["pixels"]
    truly = counts.sum(0) / counts.sum((0, 1))  # of what is mapped as a class (columns)
    scale = mapped / mapped.sum() / counts.sum(1).mean(0)
    residuals = [(matrix - truly * matrix.sum(0)) @ scale for matrix in counts]
    sizes = [row["height"] * row["width"] for row in rows_of(output, "images")]
    there, here = (sum(s) ** 2 / np.square(s).sum() for s in (counts.sum((1, 2)), sizes))
    error = np.sqrt(np.square(residuals).sum(0) / 9 / 10 * (1 + there / here)) * mapped.sum()
    adjusted = truly @ mapped
    for i, row in enumerate(found["classes"]):
        assert row["pixels"] == mapped[i]
        assert row["adjusted_pixels"] == pytest.approx(adjusted[i])
        assert row["pixels_standard_error"] == pytest.approx(error[i])
        margin = stats.t(9).ppf(0.975) * error[i]
        low, high = adjusted[i] - margin, adjusted[i] + margin
        assert row["pixels_interval"] == pytest.approx([max(0, low), high])
    assert error.min() > 0
    assert abs(adjusted - mapped).max() > 1
    images, manifest = found["reference"]["images"], pairs.folder / "list.csv"
    assert (images, found["reference"]["size"]) == (10, "original")
    assert f"adjusted for the model's errors in 10 images of {manifest}" in ran.out
    assert "warning: the reference has 10 images only" in ran.out
    assert f"10 images of {manifest}, at their own size" in (output / "report.html").read_text()
    assert verify(output) == ("labels", [])
    assert verify(model) == ("model bundle", [])


def test_a_model_that_was_scored_on_what_it_was_trained_on(pairs, model, tmp_path, capfd):
    """That is no reference, in whatever folder the images lie."""
    manifest = pairs.folder / "list.csv"
    flags = pairs.flags(tmp_path / "dataset", images=manifest, masks=None)
    assert run_here(capfd, "ingest", *flags).code == 0
    dataset = storage.read_json(tmp_path / "dataset/dataset.json")
    trained = shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("ref*"))
    record = storage.read_json(trained / "bundle.json")
    record["dataset"] = {"path": str(tmp_path / "dataset"), "fingerprint": dataset["fingerprint"]}
    storage.put(trained / "bundle.json", storage.to_json(record))
    split = EvaluateConfig(
        model=str(trained),
        dataset=str(tmp_path / "dataset"),
        split="train",
        output=str(tmp_path / "split"),
    )
    evaluate(split, [IN_MEMORY])
    assert not (trained / "references").exists()
    _evaluate(pairs, trained, tmp_path / "raw")
    (path,) = (trained / "references").glob("*.json")
    kept = storage.read_json(path)
    assert (kept["images"], kept["trained_on"]) == (5, 5)


@pytest.mark.parametrize("command", ["evaluate", "label"])
def test_a_model_without_finite_logits_fails_in_one_line(command, pairs, tmp_path, capfd):
    pixels = keras.Input((*MODEL_SIZE, 3))
    model = keras.Model(pixels, keras.layers.Rescaling(float("nan"))(pixels))
    bundle = write_bundle(tmp_path / "spoilt", LABELS, MODEL_SIZE, model=model)
    flags = [f"--model={bundle}", f"--images={pairs.images}", f"--output={tmp_path / 'out'}"]
    flags += [f"--masks={pairs.masks}"] if command == "evaluate" else []

    ran = run_here(capfd, command, *flags)

    assert ran.code == 1
    assert ran.line.startswith(
        f"segflow {command}: model {bundle}: its logits for {pairs.images}/pair-"
    )
    assert "; use another model, or train this one again; finished shards are kept" in ran.line


def test_several_annotators_of_raw_pairs_are_asked_as_in_ingest(pairs, model, tmp_path, capfd):
    """Two of three masks of each image say bar where the truth is a disc."""
    folder = tmp_path / "votes"
    for number in range(2):
        for who in ("ann", "bob", "eve"):
            mask = _truth(pairs, f"pair-{number}").copy()
            mask[mask == 1] = 1 if who == "ann" else 2
            storage.put(folder / f"masks/pair-{number}_by{who}.png", encode(mask))
        name = f"pair-{number}.png"
        storage.put(folder / "images" / name, (pairs.images / name).read_bytes())

    def flags(output: str, *more: str) -> list[str]:
        sources = [f"--images={folder}/images", f"--masks={folder}/masks"]
        pattern = r"--mask-pattern=(.+)_by\w+"
        return [f"--model={model}", *sources, pattern, f"--output={tmp_path / output}", *more]

    assert (
        "2 of 2 inputs rejected (2 duplicate_key)"
        in run_here(capfd, "evaluate", *flags("none")).line
    )
    discs = {}
    for who in ("first", "majority"):
        ran = run_here(capfd, "evaluate", *flags(who, f"--annotators={who}"))
        assert (ran.code, ran.errors) == (0, [])
        found = storage.read_json(tmp_path / who / "metrics.json")
        discs[who] = sum(found["confusion_matrix"][1])
    (row, _) = rows_of(tmp_path / "majority", "images")
    assert [uri[-7:] for uri in row["mask_uris"]] == ["ann.png", "bob.png", "eve.png"]
    assert discs["first"] > 0 == discs["majority"]
    assert "mostly bar in the mask, disc to the model" in draw(tmp_path / "majority").read_text()
    assert "mostly bar" not in draw(tmp_path / "first").read_text()
    other = run_here(capfd, "evaluate", *flags("first", "--annotators=majority"))
    assert "annotators is first there and majority here" in other.line
