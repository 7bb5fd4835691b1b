"""Measurements and tables for the documentation; they need the public data in ../shared."""
