"""The labels report counts what `current.sql` selects: one meaning of "current", told twice."""

from pathlib import Path

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from segflow import storage
from segflow.label.current import current_sql
from segflow.report import draw
from segflow.report.render import count
from tests.unit.report import folders

_SEEDS = st.lists(st.integers(1, 4), unique=True)
_RUNS = st.lists(st.tuples(_SEEDS, _SEEDS, st.sampled_from("ab")), max_size=3)


@settings(max_examples=10)
@given(_RUNS)
def test_the_report_and_the_views_agree(runs: list[tuple[list[int], list[int], str]]) -> None:
    with storage.scratch_folder() as scratch:
        folder, sources = scratch / "it's [labels]", scratch / "batch"
        folders.write_run(folder, "r", sources, range(1, 5), model="a" * 64)
        for number, (labelled, gone, model) in enumerate(runs):
            rest = [seed for seed in gone if seed not in labelled]
            addresses = [folders.image_uri(sources, seed) for seed in rest]
            # Of what a run did not label, it saw one half gone and rejected the other.
            half = len(addresses) // 2
            folders.write_run(
                folder,
                f"r{number}",
                sources,
                labelled,
                gone=addresses[half:],
                rejected=addresses[:half],
                model=model * 64,
            )
        images, pixels = _selected(folder)
        html = draw(folder).read_text(encoding="utf-8")
    assert f"<dt>Images labelled</dt><dd>{count(images)}<" in html
    assert f"<dt>Pixels</dt><dd>{count(pixels)}<" in html


def _selected(folder: Path) -> tuple[int, int]:
    with duckdb.connect() as connection:
        connection.execute(current_sql(folder))
        images = connection.execute("SELECT count(*) FROM current_images").fetchone()
        pixels = connection.execute("SELECT coalesce(sum(pixels), 0) FROM current_areas").fetchone()
    assert images is not None and pixels is not None
    return int(images[0]), int(pixels[0])
