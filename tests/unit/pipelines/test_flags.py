"""Flags on the command line and in config files, without running anything."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
import tyro

from pipelines import cli, flags
from segflow.errors import UsageError
from segflow.train.rate_config import FindRateConfig


@dataclass(frozen=True)
class Nested:
    zoom: tuple[float, float] = (0.8, 1.25)
    """Smallest and largest."""
    enabled: bool = True
    """Whether at all."""


@dataclass(frozen=True)
class Config:
    """Does something."""

    image_size: str
    """Height and width."""
    folder: Annotated[str, tyro.conf.Positional] = "here"
    """A place."""
    epochs: int = 3
    """How often."""
    minutes: float | None = 1.5
    """How long at most; none: no limit."""
    stride: Literal[8, 16] | None = 8
    """One of two; none: the model's own."""
    resume: bool = False
    """Whether to go on."""
    model: tuple[str, ...] = ()
    """Any number."""
    nested: Nested = field(default_factory=Nested)


def parse(*words, takes_beam_flags=True):
    return cli.parse("try", Config, words, takes_beam_flags=takes_beam_flags)


def refusal(*words, takes_beam_flags=True):
    with pytest.raises(UsageError) as caught:
        parse(*words, takes_beam_flags=takes_beam_flags)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return f"--config={path}"

    return write


def test_words_become_a_config():
    config = parse("--image-size=3x4", "--epochs", "7", "there", "--resume").config
    assert config == Config("3x4", "there", epochs=7, resume=True)


def test_underscores_are_as_good_as_dashes():
    assert parse("--image_size=3x4", "--nested.no_enabled").config.nested == Nested(enabled=False)


def test_the_last_of_two_flags_counts():
    words = ("--image-size=3x4", "--resume", "--epochs=1", "--no-resume", "--epochs=2")
    assert parse(*words).config == Config("3x4", epochs=2, resume=False)


def test_none_is_a_value_of_an_optional_flag():
    assert parse("--image-size=1x1", "--minutes=none").config.minutes is None
    assert parse("--image-size=1x1", "--minutes=2").config.minutes == 2.0
    assert parse("--image-size=1x1", "--stride=none").config.stride is None
    assert parse("--image-size=1x1", "--stride=16").config.stride == 16
    assert "none" in refusal("--image-size=1x1", "--stride=4")


def test_beams_flags_are_told_apart_and_spelt_as_beam_spells_them():
    words = ("--direct-num-workers", "2", "--image-size=3x4", "--runner=DirectRunner", "--epochs=1")
    parsed = parse(*words)
    assert parsed.config == Config("3x4", epochs=1)
    assert parsed.beam_flags == ("--direct_num_workers", "2", "--runner=DirectRunner")


def test_words_behind_two_dashes_go_to_beam_unchecked():
    parsed = parse("--image-size=3x4", "--", "--no_such_flag=1", "word")
    assert parsed.beam_flags == ("--no_such_flag=1", "word")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "missing --image-size (see --help)"),
        (
            ["--image-sise=3x4"],
            "unknown flag --image-sise; did you mean --image-size? (see --help)",
        ),
        (["--zoom=1"], "unknown flag --zoom; did you mean --nested.zoom? (see --help)"),
        (["--runer=x"], "unknown flag --runer; did you mean --runner? (see --help)"),
        (
            ["--direct_num_worker=2"],
            "unknown flag --direct_num_worker; did you mean --direct_num_workers? (see --help)",
        ),
        (["-x"], "unknown flag -x (see --help)"),
        (["--image-size=1x1", "--epochs=x"], "--epochs: expected an integer, found 'x'"),
        (["--image-size=1x1", "--minutes=x"], "--minutes: expected a number, found 'x'"),
        (["--image-size=1x1", "--epochs"], "Missing value for argument '--epochs'"),
        (["--image-size=1x1", "a", "b.jpg"], "unexpected 'b.jpg'; put quotes around a glob"),
        (["--image-size=1x1", "--log-level=loud"], "invalid choice 'loud'"),
        (["--image-size=1x1", "--direct_num_workers=x"], "invalid int value: 'x'"),
        (["--image-size=1x1", "--runner=Fast"], "Unexpected pipeline runner: Fast"),
        (["--image-size=1x1", "--config"], "--config: expected the path of a YAML file"),
        (["--image-size=1x1", "--config=no/file"], "no/file: cannot be read: No such file"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(words, message):
    assert message in refusal(*words)


def test_a_command_without_beam_knows_no_flag_of_beams():
    message = refusal("--image-size=1x1", "--runner=DirectRunner", takes_beam_flags=False)
    assert message.startswith("unknown flag --runner")


def test_many_unexpected_words_are_not_all_repeated():
    message = refusal("--image-size=1x1", "there", *(f"{i}.jpg" for i in range(1000)))
    assert "and 997 more" in message
    assert len(message) < 250


CONFIG = """
image_size: 3x4
epochs: 5
minutes: null
resume: true
nested:
  zoom: [0.5, 2]
  enabled: false
runner: DirectRunner
direct-num-workers: 2
experiments: [first, second]
streaming: false
log_level: error
"""


def test_a_config_file_holds_any_flag(write):
    parsed = parse(write(CONFIG))
    nested = Nested(zoom=(0.5, 2.0), enabled=False)
    assert parsed.config == Config("3x4", epochs=5, minutes=None, resume=True, nested=nested)
    assert parsed.beam_flags == (
        "--runner=DirectRunner",
        "--direct_num_workers=2",
        "--experiments=first",
        "--experiments=second",
    )


def test_the_command_line_wins_over_a_config_file(write):
    config = parse("--epochs=9", "--nested.enabled", write(CONFIG), "--no-resume").config
    assert (config.epochs, config.nested.enabled, config.resume) == (9, True, False)
    assert config.nested.zoom == (0.5, 2.0)


def test_values_of_a_config_file_may_look_like_flags(write):
    assert parse(write("image_size: --resume")).config.image_size == "--resume"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_sice: 3x4", "unknown key image_sice; did you mean image-size?"),
        ("nested: {soom: 1}", "unknown key nested.soom; did you mean nested.zoom?"),
        ("nested: 3", "unknown key nested; did you mean nested."),
        ("runer: x", "unknown key runer; did you mean runner?"),
        ("config: other.yaml", "unknown key config"),
        ("- image_size", "expected 'flag: value' lines, found ['image_size']"),
        ("", "expected 'flag: value' lines, found nothing"),
        ("a: [", "not valid YAML: while parsing a flow node"),
        ("!!python/object/apply:os.getcwd []", "not valid YAML: could not determine a constructor"),
    ],
)
def test_a_wrong_config_file_is_told_in_one_line(write, text, message):
    path = write(text)
    told = refusal(path)
    assert told.startswith(f"{path.replace('=', ' ')}: ")
    assert message in told


def test_a_path_that_is_no_text_file_is_told(tmp_path):
    assert "cannot be read: Is a directory" in refusal(f"--config={tmp_path}")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    assert "not valid YAML" in refusal(f"--config={tmp_path / 'binary'}")


def test_every_flag_of_beams_is_known():
    known = flags.beam_flags()
    assert known["runner"].spelling == "--runner"
    assert known["flink-master"].spelling == "--flink_master"
    assert known["streaming"].is_switch
    assert len(known) > 100


@pytest.mark.parametrize(
    "words",
    [
        ["--model", "a", "--model", "b"],
        ["--model=a", "--epochs", "1", "--model=b"],
        ["--model", "a", "b"],
        ["--model", "a", "b", "--resume", "there"],
        ["there", "--resume", "--model", "a", "--image-size", "3x4", "--model", "b"],
    ],
)
def test_a_list_is_given_behind_one_flag_or_each_value_behind_its_own(words):
    config = parse("--image-size", "1x2", *words).config

    assert config.model == ("a", "b")
    assert config.folder == ("there" if "there" in words else "here")


def test_a_list_on_the_command_line_wins_over_that_of_a_file(write):
    file = write("image_size: 1x2\nmodel: [a, b, c]")

    assert parse(file).config.model == ("a", "b", "c")
    assert parse("--model=d", file, "--model", "e").config.model == ("d", "e")


def test_what_cannot_be_resumed_has_no_flag_for_it(capsys):
    words = ["--dataset=d", "--output=o"]
    parsed = cli.parse("find-rate", FindRateConfig, words, takes_beam_flags=False)
    assert parsed.config.resume is False
    with pytest.raises(UsageError, match="unknown flag --resume"):
        cli.parse("find-rate", FindRateConfig, [*words, "--resume"], takes_beam_flags=False)

    with pytest.raises(SystemExit):
        cli.parse("find-rate", FindRateConfig, ["--help"], takes_beam_flags=False)
    said = capsys.readouterr().out
    assert "--rate-steps" in said
    assert "resume" not in said
