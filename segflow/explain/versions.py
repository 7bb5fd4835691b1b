"""Why what is made again may differ from what is stored."""

from collections.abc import Mapping
from importlib import metadata


def other_versions(made_with: Mapping[str, str]) -> list[str]:
    """The libraries that have other versions here, such as `pillow 12.3.0, here 12.4.0`."""
    here = {name: _version(name) for name in made_with}
    return [f"{n} {v}, here {here[n]}" for n, v in made_with.items() if v != here[n]]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"
