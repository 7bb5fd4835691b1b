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
from segflow.label.reading import reading_of
from segflow.train.bundle import Bundle

_TABLES = ("images", "areas", "rejects", "review", RECORDS_FOLDER, "current.sql", "report.html")


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
    output = Path(config.output)
    require_free(output, _TABLES)
    require_outside(output, images=config.images)
    job = LabelJob(config, bundle.label_map, bundle.fingerprint)
    _require_mask_format(output, config.mask_format)
    _require_same(output, config, bundle.fingerprint)
    recorded = config.recorded() | {"model_fingerprint": bundle.fingerprint}
    plan = LabelPlan(
        source=recorded["images"],
        output=output,
        model_fingerprint=bundle.fingerprint,
        shard_size=config.shard_size,
        limits=recorded["limits"],
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


def _require_same(output: Path, config: LabelConfig, model_fingerprint: str) -> None:
    """Refuses to add to what the same model has labelled in another way."""
    for record in committed_records(output):
        for name, flag in (("tta", "--tta"), ("uncertain_below", "--uncertain-below")):
            there, here = record["config"][name], getattr(config, name)
            if record["model"]["fingerprint"] == model_fingerprint and there != here:
                raise UsageError(
                    f"{flag} {here}: this model has labelled into {output} with {there}, and an "
                    "image is not labelled twice by one model; choose another --output"
                )
