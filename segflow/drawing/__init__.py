"""Drawn data sets: what the demo trains on and labels, and tests may use."""

from segflow.drawing.files import DrawnDataset, draw_collection, draw_dataset
from segflow.drawing.scenes import LABEL_MAP, Scene, draw_scene

__all__ = [
    "LABEL_MAP",
    "DrawnDataset",
    "Scene",
    "draw_collection",
    "draw_dataset",
    "draw_scene",
]
