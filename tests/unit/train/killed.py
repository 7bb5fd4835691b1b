"""Run in a process of its own: trains, and kills itself at the n-th call of a function.

Arguments: dataset, output, `module:function`, n, and settings of the training as JSON.
"""

import importlib
import json
import os
import signal
import sys
from typing import Any

from segflow.train.trainer import train
from tests.unit.train import backboned
from tests.unit.train.datasets import small_config


def main(dataset: str, output: str, victim: str, calls: int, settings: dict[str, Any]) -> None:
    backboned.register()
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
    train(small_config(dataset, output, resume=True, **settings))


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]), json.loads(sys.argv[5]))
