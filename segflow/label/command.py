"""`segflow label` from config to commit, but for the command line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from segflow import storage
from segflow.data.listing import require_outside
from segflow.data.mask_formats import MaskFormat
from segflow.errors import UsageError
from segflow.jobs import progress
from segflow.jobs.launch import Launch, require_free
from segflow.label.config import LabelConfig
from segflow.label.current import current_sql
from segflow.label.labelling import LIBRARIES, RECORDS_FOLDER, LabelJob
from segflow.label.planning import LabelPlan, committed_records
from segflow.label.prediction import UNCERTAIN_BELOW
from segflow.label.reading import reading_of
from segflow.label.windows import Windows
from segflow.train.bundle import Bundle

_TABLES = (
    *("images", "areas", "rejects", "gone", "review"),
    *(RECORDS_FOLDER, "current.sql", "report.html"),
)

# What one model does in one way in one folder, and what older runs, which do not say, did.
_WAYS = {
    "tta": "none",
    "ground_resolution": None,
    "windows": "auto",
    "window_overlap": 0.25,
    "uncertain_below": UNCERTAIN_BELOW,
}


def label(
    config: LabelConfig, flags: Sequence[str] = (), console: Console | None = None
) -> Mapping[str, Any] | None:
    """Labels what is new or changed, or goes on with an interrupted run.

    Args:
        config: The options.
        flags: Beam's flags.
        console: Where progress goes; default: stderr.

    Returns:
        The run's commit record; None if nothing was new.

    Raises:
        UsageError: Bad input, found before any work began.
        RejectBudgetError: More rejects than allowed.
        JobError: The job failed.
    """
    console = console or progress.new_console()
    bundle = Bundle.load(config.model)
    reading_of(bundle)  # says what is missing before any work begins
    Windows(config.windows, config.window_overlap).policy(bundle.resize)  # or what does not fit
    output = Path(config.output)
    require_free(output, _TABLES)
    require_outside(output, images=config.images)
    job = LabelJob(config, bundle.label_map, bundle.fingerprint)
    _require_mask_format(output, config.mask_format)
    _require_same_way(output, config, bundle.fingerprint)
    recorded = config.recorded() | {"model_fingerprint": bundle.fingerprint}
    plan = LabelPlan(
        source=recorded["images"],
        output=output,
        model_fingerprint=bundle.fingerprint,
        shard_size=config.shard_size,
        limits=recorded["limits"],
        root=recorded["root"],
        detect_changes=config.detect_changes,
        tell=console.print,
    )
    outcome = Launch(job, output, recorded, LIBRARIES, plan, flags)(console)
    # Also where nothing was new: the folder may have been moved, and the views hold its path.
    storage.put(output / "current.sql", current_sql(output).encode())
    if outcome is None:
        return None
    # By name: of a run that was gone on with, a newer one may be committed, of another model.
    return dict(storage.read_json(output / RECORDS_FOLDER / f"{outcome.run}.json"))


def _require_mask_format(output: Path, mask_format: MaskFormat) -> None:
    for record in committed_records(output):
        there = record["config"]["mask_format"]
        if there != mask_format:
            raise UsageError(
                f"--mask-format {mask_format}: the labels in {output} have {there}, and an image "
                "is not labelled twice by one model; choose another --output"
            )


def _require_same_way(output: Path, config: LabelConfig, model_fingerprint: str) -> None:
    """Refuses to add to what the same model has labelled in another way."""
    for record in committed_records(output):
        if record["model"]["fingerprint"] != model_fingerprint:
            continue
        for name, default in _WAYS.items():
            asked, there = getattr(config, name), record["config"].get(name, default)
            if there != asked:
                asked, there = ("none" if way is None else way for way in (asked, there))
                raise UsageError(
                    f"--{name.replace('_', '-')} {asked}: this model has labelled into {output} "
                    f"with {there}, and an image is not labelled twice by one model; choose "
                    "another --output"
                )
