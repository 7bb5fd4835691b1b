"""Ensembles: several bundles as one, with weights that are equal, given, or fitted."""
