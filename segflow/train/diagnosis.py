"""What the learning curves say, in words."""

import statistics
from collections.abc import Sequence

from segflow.train.config import TrainConfig
from segflow.train.state import EpochRow, TrainingState

_WINDOW = 3  # epochs whose median is looked at, so that one odd epoch says nothing
_LASTING = 3  # epochs for which the curves must have parted
_RISE = 0.1  # of the validation loss, as a fraction of its lowest
_FALL = 0.05  # of the training loss meanwhile
_ENDED = 0.1  # of the rate's peak: below it, a schedule has done its work


def overfitting(rows: Sequence[EpochRow]) -> str | None:
    """One sentence if the validation loss has risen while the training loss went on falling.

    Both curves are smoothed by a running median. The validation loss must end clearly above its
    lowest, and the training loss clearly below where it was then; else None.
    """
    training = _smooth([row.loss for row in rows])
    validation = _smooth([row.val_loss for row in rows])
    if not validation:
        return None
    turn = validation.index(min(validation))
    rise = _change(validation[turn], validation[-1])
    fall = -_change(training[turn], training[-1])
    if len(validation) - 1 - turn < _LASTING or rise < _RISE or fall < _FALL:
        return None
    return (
        f"overfitting since about epoch {rows[turn].epoch + _WINDOW // 2}: the training loss went "
        f"on falling ({training[turn]:.3g} to {training[-1]:.3g}) while the validation loss rose "
        f"({validation[turn]:.3g} to {validation[-1]:.3g}); {_effect(rows, turn)}. More examples, "
        "stronger --augmentation or a smaller model would help; --patience ends such a training "
        "sooner"
    )


def unfinished(config: TrainConfig, state: TrainingState) -> str | None:
    """One sentence if the time was up long before a schedule that ends with `--epochs`; else None.

    The epochs that would have fitted are those before the last, which the time cut short.
    """
    if state.stopped != "max_minutes" or config.schedule not in ("cosine", "polynomial"):
        return None
    thawed = state.epochs_done > config.freeze_backbone_epochs
    peak = (thawed and config.fine_tune_learning_rate) or config.learning_rate
    share = state.rows[-1].learning_rate / peak
    if share <= _ENDED:
        return None
    whole = state.epochs_done - 1
    advice = f"with --epochs {whole} it would have ended in this time"
    if not whole:
        advice = "not even --epochs 1 fits in this time; raise --max-minutes"
    return (
        f"the time was up in epoch {state.epochs_done} of {config.epochs}, with the learning rate "
        f"still at {100 * share:.0f} % of its peak: the schedule counts --epochs; {advice}"
    )


def _effect(rows: Sequence[EpochRow], turn: int) -> str:
    scores = _smooth([row.val_mean_iou or 0.0 for row in rows])
    before, after = scores[turn], scores[-1]
    change = f"the validation mIoU {{}} ({before:.3f} to {after:.3f})"
    if after < before - 0.01:
        return change.format("fell")
    return change.format("held") + ": its probabilities are too sure, its masks not worse"


def _smooth(values: Sequence[float]) -> list[float]:
    """The median of each `_WINDOW` values in a row."""
    windows = (values[i : i + _WINDOW] for i in range(len(values) - _WINDOW + 1))
    return [statistics.median(window) for window in windows]


def _change(before: float, after: float) -> float:
    """Relative to the size of the first; losses may be negative."""
    return (after - before) / max(abs(before), 1e-12)
