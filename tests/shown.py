"""How large a viewer shows an image file, said by Pillow alone."""

import io
import warnings
from pathlib import Path

from PIL import Image, ImageOps


def shown_size(path: Path) -> tuple[int, int]:
    """(height, width) after EXIF orientation; raises what Pillow raises for what is no picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(path.read_bytes())))
    return image.height, image.width
