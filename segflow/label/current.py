"""`current.sql`: the newest row of each image for the newest model, as DuckDB views."""

from pathlib import Path

from segflow import outputs, storage
from segflow.parts import escaped

_TEMPLATE = """\
-- The newest labels of each image, as made by the newest model; images that are gone, or whose
-- newest version was rejected, are left out. Only committed runs are read.
--   duckdb -init current.sql
--   SELECT class_name, sum(pixels) FROM current_areas GROUP BY 1;
CREATE OR REPLACE VIEW segflow_runs AS
  SELECT run, model.fingerprint AS model_fingerprint
  FROM read_json('{root}/runs/*.json', maximum_object_size = 1073741824,
    columns = {{run: 'VARCHAR', model: 'STRUCT(fingerprint VARCHAR)'}})
  -- Run names begin with the time of their start.
  QUALIFY model_fingerprint = last_value(model_fingerprint) OVER (
    ORDER BY run ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING);

CREATE OR REPLACE VIEW current_images AS
  WITH labelled AS (
    SELECT * FROM {images} SEMI JOIN segflow_runs USING (run)
  ), left_out AS (
    SELECT image_uri, run FROM {gone} SEMI JOIN segflow_runs USING (run)
    UNION ALL
    SELECT image_uri, run FROM {rejects} SEMI JOIN segflow_runs USING (run)
  )
  SELECT labelled.* FROM labelled SEMI JOIN (
{holding}
  ) USING (image_uri, run);

CREATE OR REPLACE VIEW current_areas AS
  SELECT * FROM {areas} SEMI JOIN current_images USING (image_uri, run);
"""

# Until something is rejected, or gone: a query over no file would fail.
_NO_ROWS = "(SELECT NULL::VARCHAR AS image_uri, NULL::VARCHAR AS run WHERE false)"


def write_current_sql(output: Path) -> None:
    """Writes `current.sql` anew."""
    storage.put(output / "current.sql", current_sql(output).encode())


def current_sql(output: Path) -> str:
    """The contents of `current.sql` for a labels folder, with its absolute path."""
    root = escaped(output.absolute()).replace("'", "''")
    tables = {
        table: (
            f"read_parquet('{root}/{table}/run=*/part-*.parquet', hive_partitioning = true, "
            "hive_types = {run: 'VARCHAR'})"
            if table in ("images", "areas") or any(output.glob(f"{table}/run=*/part-*.parquet"))
            else _NO_ROWS
        )
        for table in ("images", "areas", "rejects", "gone")
    }
    return _TEMPLATE.format(root=root, holding=outputs.HOLDING, **tables)
