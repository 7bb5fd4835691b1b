"""`segflow bundle` from config to commit, but for the command line."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from segflow import hashing, outputs, storage
from segflow.bundle.config import BundleConfig
from segflow.console import plain_console
from segflow.errors import UsageError
from segflow.label_map import LabelMap
from segflow.lock import lock
from segflow.models.model_file import require_safe_model
from segflow.train.bundle import MODEL_NAME, RECORD_NAME, Bundle
from segflow.train.bundle_record import write_adopted_record
from segflow.train.quiet import quiet_import

STATE_FOLDER = "_bundle"
"""Made first and removed after the commit: it marks an unfinished bundle."""


def make_bundle(config: BundleConfig, console: Console | None = None) -> Path:
    """Makes a bundle of a Keras file; a finished one is left as it is.

    Args:
        config: The file, what it means, and where to.
        console: Where progress goes; standard error by default.

    Returns:
        The folder of the bundle.

    Raises:
        UsageError: The file is not safe to load, does not take and give what a bundle's model
            does, or the output folder holds something else.
    """
    console = console or plain_console(stderr=True)
    label_map = LabelMap.load(config.label_map)
    source, output = _source(config), Path(config.output)
    finished = _is_finished(output, source, label_map)
    if not finished:
        outputs.require_free(output, STATE_FOLDER, "bundle")
        with lock(output, STATE_FOLDER):
            # Asked again: another command may have ended meanwhile.
            finished = _is_finished(output, source, label_map)
            if not finished:
                _write(config, label_map, source)
    shutil.rmtree(output / STATE_FOLDER, ignore_errors=True)
    if finished:
        console.print(f"{output}: this bundle is finished; nothing left to do")
    return output


def _source(config: BundleConfig) -> dict[str, Any]:
    """What the bundle is made of and how, as `bundle.json` records it."""
    path = Path(config.model_file)
    if path.suffix != ".keras" or not path.is_file():
        raise UsageError(
            f"--model-file {path}: no such .keras file; expected what model.save('model.keras') "
            "writes with Keras 3"
        )
    require_safe_model(path)
    return {
        "path": storage.absolute(path),
        "sha256": hashing.sha256_file(path),
        **config.recorded(),
    }


def _is_finished(output: Path, source: Mapping[str, Any], label_map: LabelMap) -> bool:
    """Whether the folder holds this very bundle.

    Raises:
        UsageError: It holds another one, or an altered one.
    """
    if not (output / RECORD_NAME).is_file():
        return False
    bundle = Bundle.load(output)
    found = {**bundle.record.get("source", {}), "label_map": bundle.label_map}
    for name, value in {**source, "label_map": label_map}.items():
        if name != "path" and found.get(name) != value:
            raise UsageError(
                f"--output {output} holds another bundle: its {name} is not the one asked for; "
                "choose another folder"
            )
    return True


def _write(config: BundleConfig, label_map: LabelMap, source: Mapping[str, Any]) -> None:
    with quiet_import():  # takes seconds, so it comes after all that can be checked without it
        from segflow.models.adopted import adopt
        from segflow.train.cost import floating_point_operations

    output = Path(config.output)
    adopted = adopt(
        Path(config.model_file),
        config.size,
        label_map.num_classes,
        config.range,
        config.gives,
    )
    # From here on the folder stays and marks what lies beside it, however this ends.
    storage.put(output / STATE_FOLDER / "begun", b"")
    model = output / STATE_FOLDER / f".{MODEL_NAME}"
    adopted.model.save(model)
    storage.sync(model)
    storage.publish(model, output / MODEL_NAME)
    write_adopted_record(
        output,
        label_map,
        config.size,
        config.resize,
        (config.reading.chosen_bands, config.reading.values),
        source={**source, "found": adopted.gives},
        weights=adopted.model.count_params(),
        flops=floating_point_operations(adopted.model),
    )
