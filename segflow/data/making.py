"""What ingest makes of a row of the plan: its stored examples, one after another."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segflow.data.answers import require_types, sound
from segflow.data.config import ExampleConfig
from segflow.data.pair import Example, make_examples
from segflow.data.pieces import Piece, read_pieces
from segflow.data.records import Record
from segflow.data.tiles import Tile
from segflow.label_map import LabelMap

_PIXELS = ("image", "mask")  # of a record: bytes, which JSON cannot hold


@dataclass(frozen=True)
class Recipe:
    """What decides the examples of all rows alike.

    Attributes:
        config: Size, resizing, augmentation and encoding.
        label_map: The classes.
        hashes: Whether a perceptual hash of each image is wanted.
    """

    config: ExampleConfig
    label_map: LabelMap
    hashes: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        labels = {"label_map": self.label_map.to_dict(), "source": self.label_map.source}
        return {"config": asdict(self.config), **labels, "hashes": self.hashes}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Recipe":
        """What `to_dict` gave; of a config that has more, the part that examples depend on."""
        label_map = LabelMap.from_dict(data["label_map"], data["source"])
        return cls(ExampleConfig.from_recorded(data["config"]), label_map, data["hashes"])


@dataclass(frozen=True)
class Made:
    """A stored example, and what the index says of it and of its source.

    Attributes:
        key: Of the picture, or of the tile of it.
        variant: 0: not augmented.
        record: What is stored.
        class_pixels: By class id.
        ignored_pixels: Those that do not count.
        augmentation: As JSON; None for variant 0.
        image_sha256: Of the source file's bytes, in hex.
        source: (height, width) of the whole picture.
        tile: Where it lies; None: it is the whole.
        image_phash: Perceptual hash of the whole image, where one is wanted.
        ground_resolution: Side of a source pixel in metres, where the file says.
    """

    key: str
    variant: int
    record: Record
    class_pixels: list[int]
    ignored_pixels: int
    augmentation: str | None
    image_sha256: str
    source: tuple[int, int]
    tile: Tile | None
    image_phash: str | None
    ground_resolution: float | None

    def to_message(self) -> tuple[dict[str, Any], list[bytes]]:
        """As JSON values, and the record's encoded image and mask."""
        record = vars(self.record)
        facts = vars(self) | {
            "record": {name: value for name, value in record.items() if name not in _PIXELS},
            "tile": self.tile and vars(self.tile),
        }
        return facts, [record[name] for name in _PIXELS]

    @classmethod
    def from_message(cls, facts: Mapping[str, Any], pixels: list[bytes]) -> "Made":
        """What `to_message` gave.

        Raises:
            ValueError: It is nothing that it gives.
        """
        with sound():
            read = dict(facts)
            read["record"] = Record(**read["record"] | dict(zip(_PIXELS, pixels, strict=True)))
            read["tile"] = None if read["tile"] is None else Tile(**read["tile"])
            read["source"] = tuple(read["source"])
            made = cls(**read)
        for part in (made, made.record, made.tile):
            if part is not None:
                require_types(part)
        return made


def make(row: Mapping[str, Any], copies: int, recipe: Recipe) -> Iterator[Made]:
    """Reads what a row of the plan addresses and makes its examples, one in memory at a time.

    A pure function of the files and the arguments: made again, they are the same.

    Args:
        row: Of the plan.
        copies: Augmented ones to make of each example, besides itself.
        recipe: How.

    Raises:
        RejectError: With the contract's code, possibly when some examples have come already.
        OSError: The storage failed in a way that may pass.
    """
    config, label_map, filename = recipe.config, recipe.label_map, Path(row["image_uri"]).name
    look = None
    for number, piece in enumerate(read_pieces(row, label_map, config)):
        if number == 0 and recipe.hashes and piece.whole is not None:
            # Only where it is asked for: SciPy takes longer to load than many a shard.
            from segflow.data.phash import perceptual_hash

            look = perceptual_hash(piece.whole)
        examples = make_examples(piece.pair, piece.key, filename, copies, config, label_map)
        for variant, example in enumerate(examples):
            yield _made(piece, variant, example, look)


def _made(piece: Piece, variant: int, example: Example, look: str | None) -> Made:
    augmentation = example.augmentation
    return Made(
        key=piece.key,
        variant=variant,
        record=example.record,
        class_pixels=example.class_pixels,
        ignored_pixels=example.ignored_pixels,
        augmentation=augmentation.to_json() if augmentation else None,
        image_sha256=piece.pair.image_sha256,
        source=piece.source,
        tile=piece.tile,
        image_phash=look,
        ground_resolution=piece.pair.ground_resolution,
    )
