"""Values of variables as arrays, and back."""

from collections.abc import Iterable

import keras

from segflow.train.checkpoint import Arrays


def read_variables(variables: Iterable[keras.Variable]) -> Arrays:
    """Copies of the variables' values."""
    return [keras.ops.convert_to_numpy(v).copy() for v in variables]


def write_variables(variables: Iterable[keras.Variable], arrays: Arrays) -> None:
    """The inverse of `read_variables`."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
