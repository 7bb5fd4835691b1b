"""The queries of docs/label.md give what NumPy gives."""

import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from rich.console import Console

from segflow.compare.command import compare
from segflow.compare.config import CompareConfig
from segflow.jobs import runner
from segflow.label import labelling
from segflow.label.prediction import Prediction
from tests.requirements import ROOT
from tests.unit.label.batches import FakePredictor, Labels, draw, predicted, work_off

NAMES = ("sky", "road", "it's")
SIZES = {f"{n}.png": (3 + n % 4, 5 + n) for n in range(12)}
GROUPS = {name: f"g{n % 3}" if n % 4 else None for n, name in enumerate(SIZES)}
SIDES = {name: 0.5 if GROUPS[name] == "g1" else 2.0 for name in SIZES}
WITHOUT = "7.png"  # has no ground resolution

Masks = Mapping[str, np.ndarray]


class Unequal(FakePredictor):
    """As sure of an image as it is wide."""

    def predictions(self, prepared: list[np.ndarray]) -> Iterator[Prediction]:
        for image in prepared:
            sure = image.shape[1] / 100
            said = predicted(self.mask(image[..., 0]))
            yield replace(said, entropy=1 - sure, uncertain_fraction=sure / 2)

    def mask(self, red: np.ndarray) -> np.ndarray:
        return red


class Other(Unequal):
    """Gives the first row of images of odd width the class behind the right one."""

    def mask(self, red: np.ndarray) -> np.ndarray:
        return np.vstack([(red[:1] + red.shape[1] % 2) % 3, red[1:]])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`images/` with a list of them, `labels/`, and `changes/` by another model."""
    folder = tmp_path_factory.mktemp("asked")
    for number, (name, size) in enumerate(SIZES.items()):
        draw(folder / "images" / name, red=number % 3, size=size)
    (folder / "images/broken.png").write_text("no picture")
    rows = [
        {"image": name, "group": GROUPS[name], "ground_resolution": SIDES[name]} for name in SIZES
    ]
    next(row for row in rows if row["image"] == WITHOUT)["ground_resolution"] = None
    rows += [{"image": "broken.png"}, {"image": "missing.png"}]
    source = folder / "images/list.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    sides = []
    for name, predictor in (("labels", Unequal), ("other", Other)):
        sides.append(folder / name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runner, "work_off", work_off)
            patch.setattr(
                labelling.LabelJob,
                "open",
                lambda job, p=predictor: labelling.LabelWork(job.config, p(job.model_fingerprint)),
            )
            Labels(folder / "images", sides[-1]).label(name, images=str(source))
    config = CompareConfig(*map(str, sides), output=str(folder / "changes"))
    compare(config, Console(file=io.StringIO()))
    return folder


@pytest.fixture
def masks() -> Masks:
    """As the first model gives them."""
    drawn = {name: np.full(size, number % 3) for number, (name, size) in enumerate(SIZES.items())}
    for mask in drawn.values():
        mask[0, 0] = 0
    return drawn


def _queries() -> dict[str, str]:
    """The SQL of the page by the comment above it."""
    page = (ROOT / "docs/label.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    statements = [s.strip() for s in "".join(blocks).split(";\n") if s.strip()]
    return {sql.splitlines()[0].removeprefix("-- "): sql for sql in statements}


@pytest.fixture
def ask(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Asks the query whose comment begins so; addresses come back as names."""
    monkeypatch.chdir(place)
    at = {str(place / "images" / name): name for name in SIZES}

    def answer(start: str) -> list[tuple]:
        (sql,) = (sql for comment, sql in _queries().items() if comment.startswith(start))
        with duckdb.connect() as connection:
            connection.execute(Path("labels/current.sql").read_text())
            rows = connection.execute(sql).fetchall()
        return [tuple(at.get(value, value) for value in row) for row in rows]

    return answer


ASKED = (
    *("duckdb", "where the model", "square metres", "images that are", "why", "share of"),
    "where the two",
)


def test_every_query_of_the_page_is_asked_here():
    for comment, start in zip(_queries(), ASKED, strict=True):
        assert comment.startswith(start)


def test_totals(ask, masks):
    pixels = np.sum([np.bincount(m.ravel(), minlength=3) for m in masks.values()], axis=0)
    images = np.sum([np.isin([0, 1, 2], m) for m in masks.values()], axis=0)
    expected = zip(NAMES, pixels.tolist(), images.tolist(), strict=True)

    assert ask("duckdb") == sorted(expected, key=lambda row: -row[1])


def test_least_sure(ask, masks):
    narrow = sorted(masks, key=lambda name: masks[name].shape[1])[:10]

    sure = [masks[name].shape[1] / 100 for name in narrow]
    expected = [(name, 1 - s, s / 2) for name, s in zip(narrow, sure, strict=True)]
    assert ask("where the model") == expected


def test_uncertain_pixels(ask, masks):
    uncertain = sum(mask.shape[1] / 200 * mask.size for mask in masks.values())

    ((found,),) = ask("share of")

    assert found == pytest.approx(uncertain / sum(mask.size for mask in masks.values()))


def test_square_metres_by_group(ask, masks):
    areas: defaultdict[tuple[str | None, str], list[float]] = defaultdict(list)
    for name, mask in masks.items():
        for class_id in np.unique(mask):
            side = np.nan if name == WITHOUT else SIDES[name]
            areas[GROUPS[name], NAMES[class_id]].append((mask == class_id).sum() * side**2)
    expected = {place: float(np.sum(some)) for place, some in areas.items()}

    found = {row[:2]: np.nan if row[2] is None else row[2] for row in ask("square metres")}

    assert found == pytest.approx(expected, nan_ok=True)
    assert np.isnan(list(found.values())).any()


def test_images_that_are_mostly_one_class(ask, masks):
    shares = [
        (name, NAMES[class_id], float((mask == class_id).mean()))
        for name, mask in masks.items()
        for class_id in np.unique(mask)
        if (mask == class_id).mean() > 0.5
    ]

    assert ask("images that are") == sorted(shares, key=lambda row: (-row[2], row[0]))


def test_why_inputs_were_refused(ask):
    assert ask("why") == [("missing_image", 1), ("unreadable", 1)]


def test_where_two_models_agree_least(ask, masks):
    changed = {name: mask.shape[1] % 2 / mask.shape[0] for name, mask in masks.items()}

    found = ask("where the two")

    assert [share for _, share in found] == pytest.approx(sorted(changed.values())[:-11:-1])
    assert all(changed[name] == pytest.approx(share) for name, share in found)
