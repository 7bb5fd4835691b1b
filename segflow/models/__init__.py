"""Segmentation architectures: plain functional Keras 3."""
