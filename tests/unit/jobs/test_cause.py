"""What a pipeline failed of, in one line, however long the text that a worker sent."""

import pytest

from segflow.jobs.cause import innermost

_TRACEBACK = """Traceback (most recent call last):
  File "worker.py", line 7, in work
    model(pixels)
"""
_BEAM = " [while running 'RunShards/Work']\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("OSError: [Errno 5] Input/output error: 'a.png'", "Input/output error: 'a.png'"),
        ("RuntimeError: OSError: [Errno 28] No space left", "No space left"),
        (
            "tf.errors_impl.AlreadyExistsError: Graph execution error:\n\n"
            "Detected at node add defined at (most recent call last):\n"
            "<stack traces unavailable>\n"
            "Resource tmp_var already exists\n\t [[{{node add/tmp_var}}]] [Op:__inference_f_7]",
            "tf.errors_impl.AlreadyExistsError: Graph execution error: "
            "Resource tmp_var already exists",
        ),
        (
            "tf.errors_impl.ResourceExhaustedError: Graph execution error:\n\n"
            "OOM when allocating tensor with shape[8,9]\n\t [[{{node conv}}]]\nHint: a list",
            "tf.errors_impl.ResourceExhaustedError: Graph execution error: "
            "OOM when allocating tensor with shape[8,9]",
        ),
        ("ValueError: one of:\n  a thing\n  another", "ValueError: one of: another"),
        ("ValueError:", "ValueError:"),
    ],
)
def test_the_line_says_what_went_wrong(text: str, line: str) -> None:
    assert innermost(RuntimeError(_TRACEBACK + text + _BEAM)) == line


def test_an_error_without_words_is_named() -> None:
    assert innermost(KeyboardInterrupt()) == "KeyboardInterrupt()"
