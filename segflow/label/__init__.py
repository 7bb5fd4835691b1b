"""Labelling: a bundle's predictions for many images, as Parquet."""
