"""Data set layouts: which file is an image, which its mask."""
