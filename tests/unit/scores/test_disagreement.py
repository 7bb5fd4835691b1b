import numpy as np

from segflow.scores.disagreement import CONFIDENT, confident_disagreement


def test_only_where_the_model_is_sure_and_the_truth_says_something_else():
    truth = np.array([0, 0, 0, 255, 300], np.uint16)
    best = np.array([1, 1, 0, 1, 44], np.int32)  # 300 is 44 in eight bits
    confidence = np.array([CONFIDENT, 0.89, 1.0, 1.0, 1.0])
    found = confident_disagreement(truth, best, confidence, 255)
    assert found.tolist() == [True, False, False, False, True]
