"""Texts kept aside while their rows are sorted."""

import pyarrow as pa

from segflow.data.spool import Spool


def test_texts_come_back_in_any_order_and_the_file_goes(tmp_path):
    texts = ["first", None, "größer", "", "last" * 10_000]
    path = tmp_path / "run" / "texts"
    with Spool(path) as spool:
        addresses = [spool.add(text) for text in texts]
        order = [4, 0, 3, 1, 2]
        at, sizes = zip(*(addresses[i] for i in order), strict=True)
        batch = pa.record_batch(
            {"n": order, "t_at": pa.array(at, pa.int64()), "t_bytes": pa.array(sizes, pa.int64())}
        )

        attached = spool.attach(batch, "t")

        assert attached.to_pydict() == {"n": order, "t": [texts[i] for i in order]}
        assert path.exists()
    assert not path.exists()
