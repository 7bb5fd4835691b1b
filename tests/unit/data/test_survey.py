"""What a look at pairs finds, in order, and what it leaves to ingest to say."""

import hashlib
import io

import numpy as np
from rich.console import Console

from segflow.data import contained
from segflow.data.config import DecodeLimits
from segflow.data.phash import perceptual_hash
from segflow.data.reading import AS_SHOWN
from segflow.data.survey import Survey
from tests.drawn import LABELS, Pairs, decode
from tests.requirements import ROOT


def _rows(pairs: Pairs, stems: list[str]) -> list[dict]:
    return [
        {
            "key": stem,
            "split": "train",
            "group": None,
            "image_uri": str(pairs.images / f"{stem}.png"),
            "mask_uri": str(pairs.masks / f"{stem}.png"),
        }
        for stem in stems
    ]


def test_every_readable_pair_has_its_facts_in_order(tmp_path):
    pairs = Pairs(tmp_path / "data", count=70)
    (pairs.images / "pair-7.png").write_bytes(b"no image")
    rows = _rows(pairs, [f"pair-{i}" for i in range(70)])
    said = io.StringIO()

    facts = list(Survey(LABELS, DecodeLimits(), AS_SHOWN, near=True)(rows, Console(file=said)))

    assert [fact["key"] for fact in facts] == [r["key"] for r in rows if r["key"] != "pair-7"]
    assert said.getvalue() == "survey: 70 pairs read\n"
    for fact in facts:
        data = (pairs.images / f"{fact['key']}.png").read_bytes()
        mask = decode((pairs.masks / f"{fact['key']}.png").read_bytes())
        assert fact["image_sha256"] == hashlib.sha256(data).hexdigest()
        assert fact["image_phash"] == perceptual_hash(decode(data))
        assert fact["class_pixels"] == [int(np.sum(mask == i)) for i in range(3)]


def test_a_file_that_crashes_the_decoder_has_no_facts_and_costs_no_other(tmp_path, monkeypatch):
    contained.close()  # decoders that are there already know no faults
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "faults"))
    pairs = Pairs(tmp_path / "data", count=4)
    (pairs.images / "pair-1.png").write_bytes(b"CRASH")
    survey = Survey(LABELS, DecodeLimits(), AS_SHOWN, near=False)

    facts = list(survey(_rows(pairs, [f"pair-{i}" for i in range(4)]), Console(quiet=True)))

    assert [fact["key"] for fact in facts] == ["pair-0", "pair-2", "pair-3"]


def test_looks_are_left_out_where_nobody_asks(tmp_path):
    pairs = Pairs(tmp_path / "data", count=1)

    (fact,) = Survey(LABELS, DecodeLimits(), AS_SHOWN, near=False)(
        _rows(pairs, ["pair-0"]), Console(quiet=True)
    )

    assert fact["image_phash"] is None
