"""Examples made in a decoder process, which works on the next rows while these are stored."""

import contextlib
import itertools
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from segflow.data import contained
from segflow.data.decoder_process import DecoderProcess, LostError, nonsense
from segflow.data.handover import encoded
from segflow.data.making import Made, Recipe
from segflow.errors import RejectError

_GROUP = 8  # rows that are sent and answered at once; a decoder has two groups at most

_numbers = itertools.count()  # of rows, in all streams: no answer fits a row of another one

Row = Mapping[str, Any]


def make_ahead(
    rows: Iterable[Row], copies: int, recipe: Recipe
) -> Generator[tuple[Row, Iterator[Made]]]:
    """What `segflow.data.making.make` makes of rows of the plan, contained.

    Args:
        rows: Of the plan.
        copies: Augmented ones of each example.
        recipe: How; the same object each time, or it is sent again.

    Yields:
        Each row, in order, and its examples, to be taken before the next row. Taking them raises
        as `make` does, and `RejectError` with `decoder_crash` or `decoder_timeout`; of examples
        that are not taken, nothing is told.
    """
    making = _Making(rows, copies, recipe)
    try:
        while making.fill():
            examples = making.examples()
            yield making.row, examples
            # What nobody took, nobody asks about either.
            with contextlib.suppress(RejectError, OSError):
                deque(examples, maxlen=0)
    finally:
        making.end()


@dataclass(frozen=True)
class _Request:
    """A row, its number and what asks a decoder for its examples, encoded."""

    number: int
    row: Row
    message: bytes


class _Making:
    """Rows on their way through a decoder.

    A pipe that is full in both directions would stop both processes for ever. Only as much is sent
    ahead as the pipe holds whatever the decoder does; it reads the rest when it has answered.

    Which row a decoder died of is sure only of one that had nothing else to do, and had done
    nothing before. So the rows that a lost decoder had are made one by one, and the one that it
    seems to have been at in a fresh decoder.
    """

    def __init__(self, rows: Iterable[Row], copies: int, recipe: Recipe) -> None:
        self._rows, self._copies, self._recipe = iter(rows), copies, recipe
        self._requests: deque[_Request] = deque()  # from the current row's on
        self._careful_to = -1  # a row's number, like the next
        self._suspect: int | None = None
        self._decoder: DecoderProcess | None = None
        self._is_first = False  # whether the decoder had decoded nothing before the current row

    @property
    def row(self) -> Row:
        """The current one."""
        return self._requests[0].row

    def fill(self) -> bool:
        """Looks at the rows ahead; returns whether there is any left."""
        for row in itertools.islice(self._rows, 2 * _GROUP - len(self._requests)):
            number = next(_numbers)
            message = encoded({"make": dict(row), "number": number, "copies": self._copies})
            self._requests.append(_Request(number, row, message))
        return bool(self._requests)

    def examples(self) -> Iterator[Made]:
        """Of the current row."""
        given = 0
        while True:
            decoder = self._ready()
            try:
                # Made again they are the same: those that a lost decoder has made stay.
                for facts, pixels in itertools.islice(decoder.answers(), given, None):
                    made = _read(facts, pixels)
                    given += 1
                    yield made
            except LostError as error:
                self._lose(decoder, error)
            except (RejectError, OSError):
                self._advance()
                raise
            else:
                self._advance()
                return

    def end(self) -> None:
        """Lets go of the decoder; one that is still at work is ended."""
        if self._decoder is not None:
            contained.hand_back(self._decoder)
            self._decoder = None

    def _ready(self) -> DecoderProcess:
        """The decoder, which has the current row, and further ones if all is well."""
        is_suspect = self._requests[0].number == self._suspect
        if is_suspect and not self._is_first:
            self.end()
        if self._decoder is None:
            self._decoder = DecoderProcess() if is_suspect else contained.borrow()
            self._is_first = self._decoder.is_fresh
        self._send(self._decoder)
        return self._decoder

    def _send(self, decoder: DecoderProcess) -> None:
        """Sends a group of rows where the decoder has but one left, for fewer turns."""
        due = len(decoder.due)
        if due > _GROUP:
            return
        most = 1 if self._requests[0].number <= self._careful_to else 2 * _GROUP
        requests = list(itertools.islice(self._requests, most))
        sizes = itertools.accumulate(len(request.message) for request in requests)
        fitting = max(1, sum(size <= decoder.room for size in sizes))
        if fitting > due:
            news = requests[due:fitting]
            decoder.ask(self._recipe, {request.number: request.message for request in news})

    def _advance(self) -> None:
        """The decoder's answer to the current row is complete."""
        self._requests.popleft()
        self._is_first = False

    def _lose(self, decoder: DecoderProcess, error: LostError) -> None:
        """Has the rows made that the decoder had.

        Raises:
            RejectError: It is clear that the file that it was at is to blame.
            OSError: That file could not be read in time.
        """
        task, number = decoder.at()
        due = tuple(decoder.due)
        decoder.kill()
        self._decoder = None
        if not self._is_first or len(due) > 1:
            self._careful_to = max(self._careful_to, due[-1])
            self._suspect = number if len(due) > 1 else due[0]
            return
        self._advance()
        verdict = error.verdict(task, self._recipe.config.limits)
        if task.what is not None and isinstance(verdict, RejectError):
            verdict = RejectError(verdict.code, f"{task.what}: {verdict}")
        raise verdict from error


def _read(facts: Mapping[str, Any], pixels: list[bytes]) -> Made:
    try:
        return Made.from_message(facts, pixels)
    except ValueError as error:
        raise nonsense(error) from error
