"""Which datasets a model can be scored on."""

from dataclasses import replace
from pathlib import Path

import pytest

from segflow.errors import UsageError
from segflow.evaluate.command import evaluate, split_plan
from segflow.evaluate.config import EvaluateConfig
from segflow.label_map import LabelClass, LabelMap
from segflow.train.bundle import Bundle
from tests.bundles import EmptyModel, write_bundle
from tests.unit.train.datasets import LABELS, write_dataset

PAINTED = LabelMap(
    tuple(LabelClass(c.id, c.name, (9 * c.id, 0, 0), (c.id + 20,)) for c in LABELS.classes)
)
OTHER_ORDER = LabelMap((LabelClass(0, "disc"), LabelClass(1, "ground"), LabelClass(2, "bar")))


def _config(folder: Path, label_map: LabelMap) -> EvaluateConfig:
    """Of a model with `LABELS`, and a dataset with another label map."""
    # The model is not opened before its classes are checked.
    write_bundle(folder / "model", LABELS, model=EmptyModel())
    write_dataset(folder / "data", {"val": [2]}, label_map)
    return EvaluateConfig(
        model=str(folder / "model"), dataset=str(folder / "data"), output=str(folder / "out")
    )


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        (OTHER_ORDER, "classes: disc, ground, bar and ground, disc, bar;"),
        (replace(LABELS, ignore_id=254), "ignore id: 254 and 255;"),
    ],
)
def test_other_classes_are_refused_and_what_differs_is_named(
    tmp_path: Path, label_map: LabelMap, message: str
) -> None:
    with pytest.raises(UsageError, match=f"data and .*model differ in their {message}"):
        evaluate(_config(tmp_path, label_map))


def test_how_source_masks_spell_a_class_does_not_matter(tmp_path: Path) -> None:
    config = _config(tmp_path, PAINTED)
    assert split_plan(config, Bundle.load(config.model)).split == "val"
