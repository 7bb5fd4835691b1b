"""Scoring a bundle on a dataset split or on raw pairs."""
