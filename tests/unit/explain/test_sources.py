"""Source files then and now, also inside packs."""

import hashlib
import os

from segflow.data import packs
from segflow.explain.sources import source


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_in_a_pack_is_read_where_it_lies(tmp_path):
    pack = tmp_path / "photos.tar"
    pack.write_bytes(b"before" + b"picture" + b"behind")
    part = packs.to_json(packs.Span(packs.Pack(str(pack), 19), 6, 7))
    uri = f"{pack}/1.jpg"

    same = source(uri, _sha256(b"picture"), part)
    assert same == {"uri": uri, "sha256": _sha256(b"picture"), "part": part, "state": "same"}
    assert source(uri, _sha256(b"picture"), part, {"max_bytes": 6})["state"] == "missing"
    pack.write_bytes(b"before" + b"another" + b"behind")
    assert source(uri, _sha256(b"picture"), part)["found_sha256"] == _sha256(b"another")
    pack.unlink()
    assert source(uri, _sha256(b"picture"), part)["state"] == "missing"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert source(str(tmp_path / "pipe"), "0")["state"] == "missing"


def test_without_a_recorded_hash_nobody_can_say(tmp_path):
    (tmp_path / "mask.png").write_bytes(b"mask")
    found = source(str(tmp_path / "mask.png"), None)
    assert (found["state"], found["found_sha256"]) == ("unknown", _sha256(b"mask"))
