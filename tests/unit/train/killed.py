"""Run in a process of its own: trains, and kills itself at the n-th call of a function.

Arguments: dataset, output, devices, `module:function`, n.
"""

import importlib
import os
import signal
import sys

from segflow.train.trainer import train
from tests.unit.train.datasets import small_config


def main(dataset: str, output: str, devices: str, victim: str, calls: int) -> None:
    path, name = victim.split(":")
    module = importlib.import_module(path)
    owner = getattr(module, name.split(".")[0]) if "." in name else module
    name = name.split(".")[-1]
    original, left = getattr(owner, name), [calls]

    def dying(*args: object, **kwargs: object) -> object:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(owner, name, dying)
    train(small_config(dataset, output, devices=devices, resume=True))


if __name__ == "__main__":
    main(*sys.argv[1:5], int(sys.argv[5]))
