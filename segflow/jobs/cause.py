"""What a pipeline failed of, in one line: workers hand errors over as the text of a traceback."""

import re

# What Beam puts in front of an error, and Python in front of the system's own words.
_WRAPPING = re.compile(
    r"^(?:RuntimeError: (?=[\w.]+(?:Error|Exception): ))*(?:OSError: \[Errno \d+\] )?"
)

_NODE = "[[{{node "  # what TensorFlow puts behind the words of an operation, or below them


def innermost(error: BaseException) -> str:
    """The innermost error's line; with what went wrong where that stands below, as TensorFlow's."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [repr(error)]
    errors = [index for index, line in enumerate(lines) if _looks_like_error(line)]
    index = errors[-1] if errors else len(lines) - 1
    line = _WRAPPING.sub("", _unwrapped(lines[index]))
    if line.endswith(":"):
        line = " ".join([line, *_last_words(lines[index + 1 :])])
    return line


def _last_words(lines: list[str]) -> list[str]:
    """Of an operation that failed: what stands before the first name of a node, or at the end."""
    node = next((i for i, line in enumerate(lines) if _NODE in line), len(lines))
    before = [_unwrapped(line).partition(_NODE)[0].rstrip() for line in lines[: node + 1]]
    return [line for line in before if line][-1:]


def _unwrapped(line: str) -> str:
    return line.partition(" [while running")[0]


def _looks_like_error(line: str) -> bool:
    name = line.partition(":")[0]
    return name.rpartition(".")[2].endswith(("Error", "Exception")) and " " not in name
