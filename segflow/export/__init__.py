"""Masks of labelled images as files that labelling tools and `segflow ingest` read."""
