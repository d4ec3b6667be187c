from tests.serving.conftest import export, export_folder  # noqa: F401
