"""What `segflow ensemble` says at its end."""

from pipelines import ensemble


def test_a_member_without_weight_is_named():
    members = [{"path": "a", "weight": 0.994}, {"path": "b", "weight": 0.006}]
    assert ensemble.warnings(members) == [
        "b has next to no weight (0.006): without it the ensemble would be as good, and faster"
    ]
    assert ensemble.warnings([{"path": "a", "weight": 0.99}, {"path": "b", "weight": 0.01}]) == []
