"""Columns of the tables that say in their metadata what they mean."""

import pyarrow as pa


def field(name: str, kind: pa.DataType, description: str, unit: str | None = None) -> pa.Field:
    """A column with its description and, where it has one, its unit."""
    metadata = {"description": description, **({"unit": unit} if unit else {})}
    return pa.field(name, kind, metadata=metadata)
