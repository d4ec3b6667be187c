"""A guard is tried on whole runs too."""

from tests.runs.conftest import make_config, table  # noqa: F401
