"""Run in a process of its own: `segflow`, which kills itself at the n-th call of a function.

Arguments: `module:function` or `module:owner.function`, n, and the command line of segflow.
"""

import importlib
import os
import signal
import sys
from collections.abc import Sequence

from pipelines import main as segflow


def main(victim: str, calls: int, words: Sequence[str]) -> int:
    address, path = victim.split(":")
    owner = importlib.import_module(address)
    *owners, name = path.split(".")
    for each in owners:
        owner = getattr(owner, each)
    original, left = getattr(owner, name), [calls]

    def dying(*args: object, **kwargs: object) -> object:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(owner, name, dying)
    return segflow.main(list(words))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
