"""How a bundle is loaded in pipelines of one's own, checked where they are built."""

from typing import Any

from segflow.label.windows import Windows, WindowsMode
from segflow.ranges import require
from segflow.train.bundle import Tta, require_tta


def loading_options(
    batch_size: int, tta: Tta, windows: WindowsMode, window_overlap: float
) -> dict[str, Any]:
    """The options of `segflow.load_bundle`.

    Raises:
        ValueError: There is no such test-time augmentation.
        UsageError: Another one is out of its range.
    """
    require("batch_size", batch_size, batch_size >= 1, "1 or more")
    require_tta(tta)
    Windows(windows, window_overlap)  # says what is wrong with them
    return {
        "batch_size": batch_size,
        "tta": tta,
        "windows": windows,
        "window_overlap": window_overlap,
    }
