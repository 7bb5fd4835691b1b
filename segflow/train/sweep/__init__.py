"""Many trainings for one: a search for good settings."""
