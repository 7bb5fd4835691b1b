"""Long texts kept in a file while the rows that they belong to are sorted."""

from pathlib import Path
from types import TracebackType

import pyarrow as pa


class Spool:
    """Texts are added once and come back by address, so that a sort need not carry them."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("x+b")
        self._path = path
        self._end = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._path.unlink()

    def add(self, text: str | None) -> tuple[int | None, int | None]:
        """Keeps a text; returns where it begins and how many bytes it has, Nones for None."""
        if text is None:
            return None, None
        data, start = text.encode(), self._end
        self._file.seek(start)
        self._file.write(data)
        self._end += len(data)
        return start, len(data)

    def attach(self, batch: pa.RecordBatch, column: str) -> pa.RecordBatch:
        """Puts texts in place of their addresses, the columns COLUMN_at and COLUMN_bytes."""
        at, sizes = (batch.column(f"{column}_{name}") for name in ("at", "bytes"))
        addresses = zip(at.to_pylist(), sizes.to_pylist(), strict=True)
        texts = [None if at is None else self._read(at, size) for at, size in addresses]
        rest = batch.drop_columns([f"{column}_at", f"{column}_bytes"])
        return rest.append_column(column, pa.array(texts, pa.string()))

    def _read(self, start: int, size: int) -> str:
        self._file.seek(start)
        return self._file.read(size).decode()
