"""How images are read for a bundle: as those that it was trained on."""

from segflow.data.reading import ReadingConfig
from segflow.train.bundle import Bundle


def reading_of(bundle: Bundle) -> ReadingConfig:
    """The bands and the range of values that the bundle records.

    Raises:
        UsageError: It was trained on chosen bands, and rasterio is missing here.
    """
    low, high = bundle.value_range
    bands = None if bundle.bands is None else ",".join(map(str, bundle.bands))
    return ReadingConfig(bands=bands, value_range=f"{low},{high}")
