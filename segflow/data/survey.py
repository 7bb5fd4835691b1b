"""A look at every pair before its split is final: what it shows, and what it looks like."""

import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from segflow.data import contained
from segflow.data.config import DecodeLimits
from segflow.data.pair import count_pixels, read_pair
from segflow.data.phash import perceptual_hash
from segflow.data.reading import ReadingConfig
from segflow.errors import RejectError
from segflow.jobs.cores import available_cores
from segflow.label_map import LabelMap

_PAIRS_A_THREAD = 16  # in hand at once: enough to keep it busy, few enough to bound the memory
_LINE_EVERY_S = 10.0


@dataclass(frozen=True)
class Survey:
    """Reads pairs with all cores, in threads: each has a decoder process of its own.

    Attributes:
        label_map: The classes.
        limits: Caps.
        reading: How images are read.
        near: Whether to make perceptual hashes.
    """

    label_map: LabelMap
    limits: DecodeLimits
    reading: ReadingConfig
    near: bool

    def __call__(
        self, rows: Iterable[Mapping[str, Any]], console: Console
    ) -> Iterator[dict[str, Any]]:
        """The facts of each pair that can be read, in order, in bounded memory.

        A pair that cannot be read, or that its decoder dies of, has none: ingest will say why.

        Args:
            rows: Of the plan, with their `split`.
            console: Where progress goes.

        Yields:
            {`key`, `split`, `group`, `image_uri`, `image_sha256`, `image_phash` (None unless
            `near`), `class_pixels` (by class id, at the mask's own size)}.
        """
        said, count, threads = time.monotonic(), 0, available_cores()
        rest = iter(rows)
        with contextlib.closing(contained), ThreadPoolExecutor(threads, "survey") as pool:
            while batch := list(itertools.islice(rest, threads * _PAIRS_A_THREAD)):
                yield from (fact for fact in pool.map(self._fact, batch) if fact is not None)
                count += len(batch)
                if time.monotonic() - said >= _LINE_EVERY_S:
                    said = time.monotonic()
                    console.print(f"survey: {count} pairs read")
        console.print(f"survey: {count} pairs read")

    def _fact(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            pair = read_pair(row, self.label_map, self.limits, self.reading)
        except RejectError:
            return None
        return {
            **{name: row[name] for name in ("key", "split", "group", "image_uri")},
            "image_sha256": pair.image_sha256,
            "image_phash": perceptual_hash(pair.image) if self.near else None,
            "class_pixels": count_pixels(pair.mask, self.label_map),
        }
