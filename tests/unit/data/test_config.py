"""Options of ingest: what is refused, and that what is recorded is what decides the bytes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from segflow.data.augment_config import AugmentationConfig
from segflow.data.config import (
    DecodeLimits,
    ExampleConfig,
    IngestConfig,
    parse_image_size,
    parse_splits,
)
from segflow.data.tiles import TileConfig
from segflow.errors import UsageError


def _ingest(**changes: object) -> IngestConfig:
    return IngestConfig(**{"image_size": "6x8", "images": "i", "output": "o", **changes})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: _ingest(image_size="6"), "--image-size must be HEIGHTxWIDTH .* found '6'"),
        (lambda: _ingest(image_size="9000x9000"), "at most 80000000 pixels .* found 9000x9000"),
        (lambda: _ingest(image_size="1x65501"), "and 65500 a side, found 1x65501"),
        (
            lambda: _ingest(tile=TileConfig(overlap=6)),
            r"--tile\.overlap must be 0 or more and less than a side of .* 6x8, found 6",
        ),
        (lambda: _ingest(tile=TileConfig(overlap=-1)), r"--tile\.overlap must be .* found -1"),
        (lambda: _ingest(jpeg_quality=0), "--jpeg-quality must be 1 to 100, found 0"),
        (lambda: _ingest(jpeg_quality=101), "--jpeg-quality must be 1 to 100, found 101"),
        (lambda: _ingest(augment_copies=-1), "--augment-copies must be 0 or more, found -1"),
        (lambda: _ingest(shard_size=0), "--shard-size must be 1 or more, found 0"),
        (lambda: _ingest(splits="train=1,val=1"), "--splits must add up to 1, found 2 in"),
        (lambda: _ingest(max_reject_fraction=1.5), "--max-reject-fraction must be 0 to 1, found 1"),
        (lambda: _ingest(max_reject_fraction=float("nan")), "--max-reject-fraction .* found nan"),
        (lambda: DecodeLimits(max_pixels=0), r"--limits\.max-pixels must be 1 to \d+ .* found 0"),
        (lambda: DecodeLimits(max_pixels=10**9), r"--limits\.max-pixels .* found 1000000000"),
        (lambda: DecodeLimits(max_bytes=0), r"--limits\.max-bytes must be at least 1, found 0"),
        (
            lambda: _ingest(augment_copies=2, augmentation=AugmentationConfig(preset="none")),
            r"--augment-copies 2 with --augmentation\.preset none would store copies that change",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_flag(make, message):
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize("text", ["360x480", "1x1", "99999x7"])
def test_reads_height_and_width(text):
    assert "x".join(map(str, parse_image_size(text))) == text


@pytest.mark.parametrize(
    "text", ["", "360", "360X480", "0x5", "5x0", "-1x5", "360x480x3", "1e3x5", " 3x4", "3x4\n"]
)
def test_other_sizes_are_refused(text):
    with pytest.raises(UsageError, match="--image-size must be HEIGHTxWIDTH such as 360x480"):
        parse_image_size(text)


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("train=0.8,val=0.1,test=0.1", {"train": 0.8, "val": 0.1, "test": 0.1}),
        ("all=1", {"all": 1.0}),
        (" a=.5 , b=.5 ", {"a": 0.5, "b": 0.5}),
        ("train=1,val=0", {"train": 1.0, "val": 0.0}),
    ],
)
def test_reads_splits_in_their_order(text, shares):
    assert list(parse_splits(text).items()) == list(shares.items())


def test_tenths_add_up():
    assert sum(parse_splits("a=0.1,b=0.2,c=0.3,d=0.4").values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "text",
    ["", "train", "train=", "train=x", "train=-1", "train=1,", "a=0.5,a=0.5", "../a=1", "=1"],
)
def test_other_splits_are_refused(text):
    with pytest.raises(UsageError, match=r"--splits must look like train=0\.8,val"):
        parse_splits(text)


def test_the_size_is_height_and_width():
    assert ExampleConfig(image_size="6x8").size == (6, 8)


def test_what_only_says_where_and_when_to_refuse_is_not_recorded():
    recorded = _ingest().recorded()

    assert recorded == _ingest(output="elsewhere", max_reject_fraction=1.0).recorded()


@pytest.mark.parametrize(
    "change",
    [
        {"images": "j"},
        {"masks": "m"},
        {"layout": "camvid"},
        {"splits": "train=1"},
        {"image_size": "8x6"},
        {"resize": "letterbox"},
        {"augment_copies": 1},
        {"augmentation": AugmentationConfig(rotation=1)},
        {"augmentation": AugmentationConfig(preset="aerial")},
        {"image_format": "png"},
        {"jpeg_quality": 94},
        {"seed": 1},
        {"shard_size": 1},
        {"limits": DecodeLimits(max_pixels=48)},
    ],
)
def test_whatever_decides_the_bytes_is_recorded(change):
    assert _ingest().recorded() != _ingest(**change).recorded()


def test_what_is_recorded_is_json_and_reads_back_equal():
    recorded = replace(_ingest(), masks="m", label_map="l.json").recorded()

    assert json.loads(json.dumps(recorded)) == recorded


def test_addresses_are_recorded_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    recorded = _ingest(masks="../m", label_map="l.json").recorded()

    assert recorded["images"] == str(Path(tmp_path, "i"))
    assert all(Path(recorded[name]).is_absolute() for name in ("images", "masks", "label_map"))


def test_the_settings_of_examples_read_back_from_what_is_recorded():
    config = _ingest(
        resize="letterbox",
        image_format="png",
        augment_copies=1,
        augmentation=AugmentationConfig(preset="strong", zoom=(1.0, 1.5)),
        limits=DecodeLimits(max_pixels=100),
        seed=3,
    )

    read = ExampleConfig.from_recorded(config.recorded())

    assert read.augmentation == config.augmentation.resolved()
    for name in ("size", "resize", "image_format", "jpeg_quality", "augment_copies", "limits"):
        assert getattr(read, name) == getattr(config, name)
    assert read.seed == 3
