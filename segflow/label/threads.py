"""TensorFlow in several threads at once: how many it starts, and graphs that all may run.

TensorFlow's memory optimiser adds large arrays up in a temporary variable. Outside of a session its
name is the same in every run of a graph, so two threads that run the same graph stop each other
with `AlreadyExistsError`. It does so with `AddN` of a graph that takes much memory, and graphs
that have none get one from the arithmetic optimiser, for any sum of three.
"""

import contextlib
import itertools
import threading
from collections.abc import Callable
from typing import Any

import tensorflow as tf

Graph = Callable[[tf.Tensor], Any]


def use_one_thread_per_batch(batches: int) -> None:
    """Has TensorFlow spend one thread on each of `batches` at once.

    Results then do not depend on the number of workers or cores. Without effect once
    TensorFlow has started.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(batches)


def for_threads(function: Graph, signature: tf.TensorSpec) -> Graph:
    """Traces a function of one tensor; several threads may call the result at once.

    Turns TensorFlow's arithmetic optimiser off, in all graphs of the process: what was measured of
    the architectures here is as fast without. Graphs that add up with `AddN` themselves are run
    by one thread at a time.
    """
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    graph = tf.function(function, input_signature=[signature])
    if not _has_sums(graph.get_concrete_function().graph.as_graph_def()):
        return graph
    turn = threading.Lock()

    def in_turn(tensor: tf.Tensor) -> Any:
        with turn:
            return graph(tensor)

    return in_turn


def _has_sums(graph: Any) -> bool:
    nodes = itertools.chain(graph.node, *(inner.node_def for inner in graph.library.function))
    return any(node.op == "AddN" for node in nodes)
