"""A full disk: one line that names it, nothing committed, and the same command goes on."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from segflow import storage
from segflow.dataset import Dataset
from tests.drawn import Pairs, encode, scene
from tests.programs import IN_MEMORY, Ran, complaints, run_program
from tests.requirements import leave_out

# A disk of 4 MiB with only $2 bytes free; the rest of the words is the command line.
_SCRIPT = """
disk=$1 free=$2 told=$3; shift 3
mount -t tmpfs -o size=4m segflow-test "$disk" || exit 99
available=$(df --output=avail -B1 "$disk" | tail -n 1)
head -c $((available - free)) /dev/zero >"$disk/ballast"
"$@" >"$told/first.out" 2>"$told/first.err"; echo $? >"$told/first.code"
cp -r "$disk" "$told/first"
rm -f "$disk/ballast"
"$@" >"$told/second.out" 2>"$told/second.err"; echo $? >"$told/second.code"
cp -r "$disk" "$told/second"
"""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Pairs:
    """40 pairs that make 2 MB of shards."""
    pairs = Pairs(tmp_path_factory.mktemp("full") / "data", count=0)
    for number in range(40):
        image, mask = scene(number, (120, 160))
        (pairs.images / f"{number}.png").write_bytes(encode(image))
        (pairs.masks / f"{number}.png").write_bytes(encode(mask))
    return pairs


class Disk:
    """What a command did on a disk with little space, and then with enough."""

    def __init__(self, folder: Path, free: int, *words: object) -> None:
        self.path, self._told = folder / "disk", folder / "told"
        for path in (self.path, self._told):
            path.mkdir(parents=True)
        program = Path(sys.executable).with_name("segflow")
        script = ["bash", "-c", _SCRIPT, "bash", self.path, free, self._told, program, *words]
        # A mount needs a namespace of our own, where any user is root.
        command = ["unshare", "--map-root-user", "--mount", *map(str, script)]
        done = subprocess.run(command, capture_output=True, text=True)
        if not (self._told / "second.code").exists():
            leave_out(f"cannot mount a small disk: {done.stderr.strip() or shlex.join(command)}")
        self.first, self.second = self._ran("first"), self._ran("second")

    def visible(self, when: str) -> list[str]:
        """Names in the output folder that a reader may look at."""
        names = storage.names_in(self._told / when / "out")
        return [name for name in names if not name.startswith("_")]

    def output(self, when: str) -> Path:
        """A copy of the output folder as it was after the first or the second command."""
        return self._told / when / "out"

    def _ran(self, when: str) -> Ran:
        out, err, code = ((self._told / f"{when}.{kind}").read_text() for kind in RESULTS)
        return Ran(int(code), out, complaints(err))


RESULTS = ("out", "err", "code")


def _ingest(pairs: Pairs, output: Path, *flags: str) -> list[str]:
    sizes = {"image_size": "120x160", "image_format": "png", "shard_size": 8}
    return ["ingest", *pairs.flags(output, **sizes), *flags]


@pytest.fixture(scope="module")
def undisturbed(pairs, tmp_path_factory) -> Dataset:
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    assert run_program(*_ingest(pairs, output, IN_MEMORY)).code == 0
    return Dataset.load(output)


@pytest.mark.parametrize(
    ("free", "flags"),
    [(0, [IN_MEMORY]), (300_000, [])],
    ids=["from the start", "amid the shards of worker processes"],
)
def test_ingest_goes_on_once_there_is_space(pairs, undisturbed, tmp_path, free, flags):
    disk = Disk(tmp_path, free, *_ingest(pairs, tmp_path / "disk" / "out", *flags))

    assert disk.first.code == 1
    line = disk.first.line
    assert line.startswith(
        f"segflow ingest: no space left on the disk that is mounted at {disk.path}:"
    )
    assert "run the same command to go on" in line
    assert disk.visible("first") == []

    assert (disk.second.code, disk.second.errors) == (0, [])
    dataset = Dataset.load(disk.output("second"))
    dataset.check_shards(dataset.splits)
    assert dataset.fingerprint == undisturbed.fingerprint
