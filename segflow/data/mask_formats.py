"""How labels are stored in a table's column: PNG or COCO run lengths of class ids."""

import io
import json
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segflow.data.masks import encode_mask

MaskFormat = Literal["png", "rle", "none"]


def encode(mask: NDArray[Any], mask_format: MaskFormat) -> bytes | None:
    """Stores class ids, uint8 or uint16 [height, width].

    Returns:
        PNG bytes; or JSON [{`class_id`, `size`, `counts`}, …], one COCO run-length mask for each
        class (https://cocodataset.org/#format-results); or None.
    """
    if mask_format == "none":
        return None
    if mask_format == "png":
        return encode_mask(mask)
    from pycocotools import mask as coco

    entries = []
    for class_id in np.unique(mask).tolist():
        rle = coco.encode(np.asfortranarray((mask == class_id).astype(np.uint8)))
        entries.append(
            {"class_id": class_id, "size": rle["size"], "counts": rle["counts"].decode("ascii")}
        )
    return json.dumps(entries, separators=(",", ":")).encode()


def decode(data: bytes, mask_format: MaskFormat) -> NDArray[Any]:
    """The inverse of `encode` for png and rle: class ids [height, width]."""
    if mask_format == "png":
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            return np.asarray(image)
    from pycocotools import mask as coco

    entries = json.loads(data)
    mask = np.zeros(entries[0]["size"], np.uint16)
    for entry in entries:
        rle = {"size": entry["size"], "counts": entry["counts"].encode("ascii")}
        mask[coco.decode(rle) == 1] = entry["class_id"]
    return mask
