"""Text on a terminal, as it is: what a user named `[b]` or `:cat:` stays so."""

from typing import TextIO

from rich.console import Console


def plain_console(file: TextIO | None = None, *, stderr: bool = False) -> Console:
    """A console that takes nothing for markup, colours no words, and leaves lines whole.

    Args:
        file: Where to; default: stdout.
        stderr: Whether the default is stderr.
    """
    return Console(
        file=file, stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True
    )
