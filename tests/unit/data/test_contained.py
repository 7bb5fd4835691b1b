"""Decoding in a process of its own: the same pixels, and a bad file costs itself alone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from segflow.data import contained, decode, decoder_process, masks
from segflow.data.config import DecodeLimits
from segflow.data.reading import AS_SHOWN
from segflow.errors import RejectCode, RejectError
from tests.requirements import ROOT
from tests.unit.data.pictures import LIMITS, encode, palette_image, photo

FAULTS = str(ROOT / "tests" / "faults")
SHORT = DecodeLimits(decode_seconds=0.5)


@pytest.fixture
def ill(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Decoders that fall ill of files that begin with certain words, see tests/faults."""
    contained.close()
    monkeypatch.setenv("PYTHONPATH", FAULTS)
    yield
    contained.close()


def _refused(data: bytes, limits: DecodeLimits = SHORT) -> RejectError:
    with pytest.raises(RejectError) as caught:
        contained.decode_rgb(data, limits)
    return caught.value


def _decoders(process: psutil.Process | None = None) -> list[psutil.Process]:
    """The decoder processes that this process, or another, has started."""
    children = (process or psutil.Process()).children()
    return [child for child in children if "segflow.data.decoder" in child.cmdline()]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF"])
def test_an_image_is_decoded_as_without_containment(kind):
    data = encode(photo(), kind)

    image = contained.decode_rgb(data, LIMITS)

    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, decode.decode_rgb(data, LIMITS))
    image[:] = 0  # it is the caller's own


@pytest.mark.parametrize(
    "mask",
    [
        np.arange(12, dtype=np.uint8).reshape(3, 4),
        np.full((3, 4), 40_000, np.uint16),
        photo(),
        palette_image([[0, 1], [1, 0]], (9, 9, 9, 8, 8, 8)),
    ],
    ids=["grey", "16 bits", "colours", "palette"],
)
def test_a_mask_is_decoded_as_without_containment(mask):
    data = encode(mask, "PNG")

    values, expected = contained.decode_raw_mask(data, LIMITS), masks.decode_raw_mask(data, LIMITS)

    assert values.dtype == expected.dtype
    np.testing.assert_array_equal(values, expected)


def test_a_refusal_comes_through_and_ends_no_decoder():
    contained.decode_rgb(encode(photo(), "PNG"), LIMITS)
    before = _decoders()

    error = _refused(encode(photo(), "PNG"), DecodeLimits(max_pixels=20))

    assert error.code == RejectCode.TOO_LARGE
    assert "16 x 12 pixels by its header, over the cap of 20" in str(error)
    assert _decoders() == before != []


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (b"CRASH", RejectCode.DECODER_CRASH, "the decoder died of SIGSEGV"),
        (b"ABORT", RejectCode.DECODER_CRASH, "the decoder died of SIGABRT"),
        (b"DEVOUR", RejectCode.DECODER_CRASH, "the decoder failed: it ran out of memory"),
        (b"RAISE", RejectCode.DECODER_CRASH, "the decoder failed: AttributeError"),
        (b"HANG", RejectCode.DECODER_TIMEOUT, "decoding took longer than 0.5 s (--limits.decode"),
    ],
)
@pytest.mark.timeout(60)
def test_a_fault_of_the_decoder_costs_that_file_only(ill, data, code, message):
    sound = encode(photo(), "PNG")
    np.testing.assert_array_equal(contained.decode_rgb(sound, LIMITS), photo())

    error = _refused(data)

    assert error.code == code
    assert str(error).startswith(message)
    np.testing.assert_array_equal(contained.decode_rgb(sound, LIMITS), photo())


@pytest.mark.parametrize("data", [b"LATE", b"CRAMPED"])
def test_damage_that_an_earlier_file_did_is_not_blamed_on_a_later_one(ill, data):
    contained.decode_rgb(encode(photo(), "PNG"), LIMITS)

    assert _refused(data).code == RejectCode.UNREADABLE  # which it is


def test_a_decoder_killed_from_outside_costs_nothing():
    contained.decode_rgb(encode(photo(), "PNG"), LIMITS)
    for decoder in _decoders():
        decoder.send_signal(signal.SIGKILL)

    np.testing.assert_array_equal(contained.decode_rgb(encode(photo(), "PNG"), LIMITS), photo())


def test_threads_get_each_its_own_picture():
    pictures = [np.full((20 + i, 30, 3), i, np.uint8) for i in range(40)]

    with ThreadPoolExecutor(4) as pool:
        data = [encode(picture, "PNG") for picture in pictures]
        decoded = pool.map(lambda file: contained.decode_rgb(file, LIMITS), data)

    for picture, image in zip(pictures, decoded, strict=True):
        np.testing.assert_array_equal(image, picture)
    assert 1 <= len(_decoders()) <= 4


def test_closing_leaves_no_process_and_the_next_file_starts_one():
    contained.decode_rgb(encode(photo(), "PNG"), LIMITS)
    assert _decoders()

    contained.close()

    assert _decoders() == []
    contained.decode_rgb(encode(photo(), "PNG"), LIMITS)
    assert len(_decoders()) == 1


@pytest.mark.parametrize("end", ["close", "forget"])
def test_decoders_that_another_thread_takes_meanwhile_are_no_fault(end):
    class Raced(list[object]):
        """Looks full to the one who asks, and is empty when they take."""

        def __len__(self) -> int:
            return 1

    decoders = contained._Decoders()
    decoders._idle = Raced()

    getattr(decoders, end)()


def _rows(path: Path) -> np.ndarray:
    return contained.image_rows(str(path), 0, 1, SHORT, AS_SHOWN)


def test_storage_that_does_not_answer_is_no_fault_of_the_file(tmp_path):
    os.mkfifo(tmp_path / "a.tif")  # nobody writes to it

    for read in (_rows, lambda path: contained.mask_rows(str(path), 0, 1, SHORT)):
        with pytest.raises(TimeoutError, match="reading took longer than"):
            read(tmp_path / "a.tif")


def test_rows_that_hang_the_decoder_are_the_fault_of_the_file(tmp_path, ill):
    (tmp_path / "a.tif").write_bytes(encode(photo(), "TIFF", description="HANG"))

    with pytest.raises(RejectError, match=r"longer than 0\.5 s \(--limits\.decode") as caught:
        _rows(tmp_path / "a.tif")
    assert caught.value.code == RejectCode.DECODER_TIMEOUT


def test_a_file_that_goes_while_it_is_read_by_window_has_changed(tmp_path):
    path = str(tmp_path / "a.tif")

    for read in (_rows, lambda path: contained.mask_rows(path, 0, 1, SHORT)):
        with pytest.raises(RejectError, match="gone since it was listed") as caught:
            read(path)
        assert caught.value.code == RejectCode.SOURCE_CHANGED
    with pytest.raises(RejectError, match="gone since it was listed"):
        contained.ground_resolution(path, SHORT)


_HANGING = """
from segflow.data import contained
from segflow.data.config import DecodeLimits
contained.decode_rgb(b"HANG", DecodeLimits(decode_seconds=600))
"""


@pytest.mark.timeout(60)
def test_a_hanging_decoder_does_not_outlive_a_killed_parent():
    environment = os.environ | {"PYTHONPATH": FAULTS}
    with subprocess.Popen([sys.executable, "-P", "-c", _HANGING], env=environment) as parent:
        process = psutil.Process(parent.pid)
        while not (decoders := _decoders(process)) or decoders[0].cpu_times().user < 0.5:
            assert parent.poll() is None
            time.sleep(0.05)  # until it is at work
        parent.kill()

    gone, alive = psutil.wait_procs(decoders, timeout=10)
    assert (len(gone), alive) == (1, [])


_FORKED_AT_WORK = """
import os, threading, time
import psutil
from segflow.data import contained
from segflow.data.config import DecodeLimits
hang = lambda: contained.decode_rgb(b"HANG", DecodeLimits(decode_seconds=600))
threading.Thread(target=hang, daemon=True).start()
while not any(child.cpu_times().user > 0.5 for child in psutil.Process().children()):
    time.sleep(0.05)
if not os.fork():
    print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.timeout(120)
def test_a_decoder_at_work_does_not_outlive_a_killed_parent_that_has_forked():
    environment = os.environ | {"PYTHONPATH": FAULTS}
    command = [sys.executable, "-P", "-c", _FORKED_AT_WORK]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        forked = psutil.Process(int(parent.stdout.readline()))
        decoders = _decoders(psutil.Process(parent.pid))
        parent.kill()

    gone, alive = psutil.wait_procs(decoders, timeout=20)
    assert forked.is_running()
    forked.kill()
    assert (len(gone), alive) == (1, [])


def test_a_forked_process_ends_no_decoder_of_its_parent():
    decoder = decoder_process.DecoderProcess()
    fork = os.fork()
    if not fork:
        decoder.kill()
        contained.hand_back(decoder)
        os._exit(int(contained.borrow() is decoder))
    assert os.waitpid(fork, 0)[1] == 0

    task = decoder_process.Task("size", encode(photo(), "PNG"))
    assert decoder.decode(task, LIMITS).tolist() == [12, 16]
    decoder.kill()


_FORKING = """
import os
from segflow.data import contained
from segflow.data.config import DecodeLimits
from tests.unit.data.pictures import encode, photo
for picture in (photo(), photo(20, 20)):
    data = encode(picture, "PNG")
    contained.decode_rgb(data, DecodeLimits())
    fork = os.fork()
    for _ in range(50):
        assert (contained.decode_rgb(data, DecodeLimits()) == picture).all()
    if not fork:
        os._exit(0)
    assert os.waitpid(fork, 0)[1] == 0
"""


def test_a_forked_process_has_decoders_of_its_own():
    subprocess.run([sys.executable, "-c", _FORKING], cwd=ROOT, check=True)


def test_a_decoder_that_cannot_start_is_no_fault_of_the_file(monkeypatch):
    contained.close()
    monkeypatch.setattr(decoder_process, "_MODULE", "segflow.no_such_module")

    with pytest.raises(
        RuntimeError, match="a decoder process did not start: it ended with exit code 1"
    ):
        contained.decode_rgb(encode(photo(), "PNG"), LIMITS)
