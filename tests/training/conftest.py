"""A guard is tried on whole runs too, a schedule on the model that the models are tried on."""

from tests.models.conftest import make_batch, make_mite  # noqa: F401
from tests.runs.conftest import make_config, table  # noqa: F401
