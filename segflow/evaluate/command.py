"""`segflow evaluate` from config to commit, but for the command line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from segflow import outputs, storage
from segflow.data.annotators import require_layout
from segflow.data.layouts import LIST_ALL, SourcePaths, find_layout
from segflow.data.listing import require_outside
from segflow.data.planning import PairPlan
from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.evaluate import reference
from segflow.evaluate.config import EvaluateConfig
from segflow.evaluate.evaluation import LIBRARIES, RECORD_NAME, EvaluateJob
from segflow.evaluate.sources import SplitPlan
from segflow.jobs import progress
from segflow.jobs.launch import (
    Launch,
    refuse_other_output,
    require_free,
)
from segflow.label.reading import reading_of
from segflow.label.windows import Windows
from segflow.train.bundle import Bundle


def evaluate(
    config: EvaluateConfig, flags: Sequence[str] = (), console: Console | None = None
) -> Mapping[str, Any]:
    """Scores a bundle, goes on with an interrupted run, or finds that nothing is left to do.

    Args:
        config: The options.
        flags: Beam's flags.
        console: Where progress goes; default: stderr.

    Returns:
        The contents of `metrics.json`.

    Raises:
        UsageError: Bad input, found before any work began.
        RejectBudgetError: More rejects than allowed.
        JobError: The job failed.
    """
    console = console or progress.new_console()
    bundle = Bundle.load(config.model)
    reading = reading_of(bundle)  # says what is missing before any work begins
    Windows(config.windows, config.window_overlap).policy(bundle.resize)  # or what does not fit
    output = Path(config.output)
    recorded = config.recorded() | {"model_fingerprint": bundle.fingerprint}
    plan: SplitPlan | PairPlan
    if config.dataset is not None:
        plan = split_plan(config, bundle)
        recorded["dataset_fingerprint"] = plan.dataset.fingerprint
    else:
        plan = _raw_plan(config)
        recorded["reading"] = reading.to_dict()
    if (output / RECORD_NAME).is_file():
        refuse_other_output(output, RECORD_NAME, recorded)
        outputs.read_records(output, outputs.EVALUATION)  # says if it is of another version
        if isinstance(plan, PairPlan):
            plan.require_unchanged(output, RECORD_NAME)
        storage.remove_scraps(output)  # of a run that was killed behind its commit
        console.print(f"{output}: complete already, nothing left to do")
    else:
        require_free(output, ("images", "rejects"))
        job = EvaluateJob(config, bundle.label_map, bundle.fingerprint)
        Launch(job, output, recorded, LIBRARIES, plan, flags)(console)
    # Mostly the pipeline has kept it; not where it was cut off, or could not write to the bundle.
    console.print(reference.keep(output, bundle))
    return dict(storage.read_json(output / RECORD_NAME))


def split_plan(config: EvaluateConfig, bundle: Bundle) -> SplitPlan:
    """The plan of the dataset's split that `config` names.

    Raises:
        UsageError: The dataset is not sound, has no such split, or other classes than the model.
    """
    dataset = Dataset.load(config.dataset or "")
    dataset.split(config.split)
    if difference := dataset.label_map.difference(bundle.label_map):
        raise UsageError(
            f"dataset {dataset.folder} and model {bundle.folder} differ in their {difference}; "
            "score a model on a dataset made with its label map"
        )
    return SplitPlan(dataset, config.split)


def _raw_plan(config: EvaluateConfig) -> PairPlan:
    paths = SourcePaths(config.images or "", config.masks, config.root, config.mask_pattern)
    layout, _ = find_layout(config.layout, paths)
    require_layout(config.annotators, layout.name)
    if layout.name in LIST_ALL:
        require_outside(Path(config.output), images=config.images, masks=config.masks)
    return PairPlan(
        layout=layout,
        paths=paths,
        seed=0,
        shares={"all": 1.0},
        own_splits=False,
        annotators=config.annotators,
        rows_per_shard=lambda _: config.shard_size,
    )
