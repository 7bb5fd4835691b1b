"""Bundles made of other people's Keras files."""
