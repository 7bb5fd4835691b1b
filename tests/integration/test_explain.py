"""Lineage through the whole chain: labels, model, dataset, sources; and each made again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from segflow import hashing, storage
from segflow.dataset import Dataset
from tests.bundles import write_bundle
from tests.drawn import LABELS, Pairs, rows_of
from tests.programs import Ran, run_here


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs, a dataset of them, a bundle that claims to be trained on it, labels, scores."""
    folder = tmp_path_factory.mktemp("chain")
    pairs = Pairs(folder / "drawn")
    _run("ingest", *pairs.flags(folder / "dataset", splits="train=1", augment_copies=1))
    model = write_bundle(folder / "model", LABELS)
    record = storage.read_json(model / "bundle.json")
    # Relative, as a training that was started in this folder records it.
    trained_on = {"path": "dataset", "fingerprint": Dataset.load(folder / "dataset").fingerprint}
    storage.put(model / "bundle.json", storage.to_json({**record, "dataset": trained_on}))
    _run("label", f"--model={model}", f"--images={pairs.images}", f"--output={folder / 'labels'}")
    raw = (f"--images={pairs.images}", f"--masks={pairs.masks}")
    _run("evaluate", f"--model={model}", *raw, f"--output={folder / 'scores'}")
    return folder


def _run(command: str, *flags: object) -> None:
    from pipelines import main

    assert main.main([command, *map(str, flags), "--direct_running_mode=in_memory"]) == 0


def _explained(capfd: pytest.CaptureFixture[str], *words: object) -> tuple[Ran, dict[str, Any]]:
    ran = run_here(capfd, "explain", *words, "--json")
    return ran, json.loads(ran.out)


def test_a_label_leads_back_to_the_first_sources(chain, capfd):
    image = chain / "drawn" / "images" / "pair-1.png"

    ran, lineage = _explained(capfd, chain / "labels", f"--image={image}", "--again")

    assert (ran.code, ran.errors) == (0, [])
    assert lineage["again"] == {"equal": True}
    assert lineage["source"] == {
        **{"uri": str(image), "sha256": hashing.sha256_file(image), "state": "same"}
    }
    model = lineage["model"]
    bundle = storage.read_json(chain / "model" / "bundle.json")
    assert (model["state"], model["fingerprint"]) == ("same", bundle["fingerprint"])
    assert model["training"] == bundle["training"]
    dataset = model["dataset"]
    assert dataset["state"] == "same"
    assert dataset["config"]["images"] == str(chain / "drawn" / "images")
    assert dataset["examples"] == {"train": 8}
    text = run_here(capfd, "explain", chain / "labels", f"--image={image}").out
    assert f"    fingerprint: {dataset['fingerprint']}" in text
    assert f"  path: {chain / 'model'}" in text


def test_an_example_leads_back_to_its_pair_and_is_made_again(chain, capfd):
    (row,) = (
        row
        for row in rows_of(chain / "dataset", "index")
        if (row["key"], row["variant"]) == ("pair-2", 1)
    )
    words = (chain / "dataset", "--key=pair-2", "--variant=1", "--again")

    ran, lineage = _explained(capfd, *words)

    assert (ran.code, ran.errors) == (0, [])
    assert lineage["row"] == row
    assert lineage["source"]["state"] == "same"
    assert [mask["state"] for mask in lineage["masks"]] == ["unknown"]
    assert lineage["again"] == {"equal": True}

    mask = Path(row["mask_uri"])
    kept = mask.read_bytes()
    shutil.copy(mask.with_name("pair-3.png"), mask)
    ran, lineage = _explained(capfd, *words)
    mask.write_bytes(kept)
    assert ran.code == 1
    assert "record.mask" in ran.line
    (change,) = lineage["again"]["differences"]
    assert change["column"] == "mask"
    assert change["pixels"].endswith(" of 384")
    with_no_key = run_here(capfd, "explain", chain / "dataset")
    assert (with_no_key.code, "say which row with --key KEY" in with_no_key.line) == (2, True)


def test_a_score_leads_back_to_its_pair_and_its_model(chain, capfd):
    ran, lineage = _explained(capfd, chain / "scores", "--key=pair-0")
    assert (ran.code, ran.errors) == (0, [])
    assert lineage["source"]["uri"] == str(chain / "drawn" / "images" / "pair-0.png")
    assert lineage["model"]["state"] == "same"
    assert lineage["run"]["record"] == str(chain / "scores" / "metrics.json")
    refused = run_here(capfd, "explain", chain / "scores", "--key=pair-0", "--again")
    assert (refused.code, "rows of labels and of datasets" in refused.line) == (2, True)


def test_a_bundle_is_explained_as_it_stands(chain, capfd):
    ran, lineage = _explained(capfd, chain / "model")
    assert (ran.code, lineage["dataset"]["state"]) == (0, "same")


def test_a_model_that_is_another_now_makes_no_label_again(chain, tmp_path, capfd):
    image = f"--image={chain / 'drawn' / 'images' / 'pair-0.png'}"
    moved = tmp_path / "moved"
    shutil.copytree(chain / "model", moved)
    ran, lineage = _explained(capfd, chain / "labels", image, "--again", f"--model={moved}")
    assert (ran.code, lineage["model"]["state"]) == (0, "same")

    with (moved / "model.keras").open("ab") as file:
        file.write(b"\0")
    ran, lineage = _explained(capfd, chain / "labels", image, "--again", f"--model={moved}")
    assert ran.code == 1
    assert lineage["model"]["state"] == "changed"
    assert "it cannot be made again: " in ran.line

    other = write_bundle(tmp_path / "other", LABELS, (16, 16))
    ran, lineage = _explained(capfd, chain / "labels", image, "--again", f"--model={other}")
    assert ran.code == 1
    assert "another one lies there" in lineage["model"]["problem"]
    assert "the run was planned with" in ran.line

    ran, lineage = _explained(capfd, chain / "labels", image, f"--model={tmp_path / 'nowhere'}")
    assert (ran.code, lineage["model"]["state"]) == (0, "missing")


def test_a_bundle_that_names_itself_as_a_member_is_read_once(chain, tmp_path, capfd):
    hostile = tmp_path / "hostile"
    shutil.copytree(chain / "model", hostile)
    record = storage.read_json(hostile / "bundle.json")
    member = {"path": str(hostile), "fingerprint": record["fingerprint"], "weight": 1.0}
    storage.put(hostile / "bundle.json", storage.to_json({**record, "members": [member]}))

    ran, lineage = _explained(capfd, hostile)

    assert ran.code == 0
    assert [m["state"] for m in lineage["members"]] == ["same"]
    assert "members" not in lineage["members"][0]
