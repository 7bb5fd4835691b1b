from tests.unit.label.conftest import labels

__all__ = ["labels"]
