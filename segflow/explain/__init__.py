"""Where a row of a table comes from: its source, run, model and dataset; and the row once more."""
