"""`segflow label` from config to commit, but for the command line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from segflow import storage
from segflow.data.config import DecodeLimits
from segflow.data.listing import require_outside
from segflow.data.mask_formats import MaskFormat
from segflow.errors import UsageError
from segflow.jobs import progress
from segflow.jobs.launch import Launch, Planned, require_free
from segflow.label.config import LabelConfig
from segflow.label.current import write_current_sql
from segflow.label.history import labelled_between
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
    windows = Windows(config.windows, config.window_overlap)
    windows.policy(bundle.resize)  # or what does not fit
    output = Path(config.output)
    require_free(output, _TABLES)
    require_outside(output, images=config.images)
    job = LabelJob(config, bundle.label_map, bundle.fingerprint)
    _require_mask_format(output, config.mask_format)
    _require_same_way(output, config, bundle.fingerprint)
    if windows.take_giants and windows.policy(bundle.resize) != "tile":  # else there is one way
        _require_same_scale(output, config.limits, bundle.fingerprint)
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

    def plan_or_refresh(folder: Path) -> Planned | None:
        planned = plan(folder)
        if planned is None:  # the folder may have been moved, and the views hold its path
            write_current_sql(output)  # while the lock is held: else over those of a newer run
        return planned

    outcome = Launch(job, output, recorded, LIBRARIES, plan_or_refresh, flags)(console)
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


def _require_same_scale(output: Path, limits: DecodeLimits, model_fingerprint: str) -> None:
    """Refuses another `max_pixels` where it would make giants of labelled images, or the contrary.

    Giants are seen through windows at their own scale, other images are not.
    """
    for record in committed_records(output):
        bounds = sorted((limits.max_pixels, record["config"]["limits"]["max_pixels"]))
        if record["model"]["fingerprint"] != model_fingerprint or bounds[0] == bounds[1]:
            continue
        if uri := labelled_between(output, record, *bounds):
            there = record["config"]["limits"]["max_pixels"]
            raise UsageError(
                f"--limits.max-pixels {limits.max_pixels}: this model has labelled {uri} into "
                f"{output} with {there}, which decides whether it is seen through windows "
                "at its own scale, and an image is not labelled twice by one model; choose another "
                "--output"
            )
