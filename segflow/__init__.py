"""segflow: segmentation data sets in, labelled images out.

Importing this package loads neither Beam nor TensorFlow; each name below is
imported the first time it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segflow.data.remake import remake_example
    from segflow.data.transforms import IngestPairs
    from segflow.dataset import Dataset
    from segflow.label.handler import SegmentationModelHandler
    from segflow.label.predictor import Predictor, load_bundle
    from segflow.label.transforms import LabelImages
    from segflow.label_map import LabelMap

__version__ = "0.1.0"

_HOMES = {
    "Dataset": "segflow.dataset",
    "IngestPairs": "segflow.data.transforms",
    "LabelImages": "segflow.label.transforms",
    "LabelMap": "segflow.label_map",
    "Predictor": "segflow.label.predictor",
    "SegmentationModelHandler": "segflow.label.handler",
    "load_bundle": "segflow.label.predictor",
    "remake_example": "segflow.data.remake",
}

__all__ = [
    "Dataset",
    "IngestPairs",
    "LabelImages",
    "LabelMap",
    "Predictor",
    "SegmentationModelHandler",
    "__version__",
    "load_bundle",
    "remake_example",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'segflow' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
