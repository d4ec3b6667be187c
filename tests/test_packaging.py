"""The wheel holds what an operator and a researcher import."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mite_tf
import mite_tf.export
import mite_tf.serving

ROOT = Path(__file__).parents[1]


def test_export_and_serving_stand_at_the_top_and_are_installed_inside():
    assert Path(mite_tf.export.__file__).parent == ROOT / "export"
    assert Path(mite_tf.serving.__file__).parent == ROOT / "serving"


def test_every_package_is_listed():
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join((*prefix, *path.parent.relative_to(ROOT).parts))
        for prefix, folder in (((), "mite_tf"), (("mite_tf",), "export"), (("mite_tf",), "serving"))
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert found == set(listed)


@pytest.mark.slow
def test_wheel_holds_code_configurations_and_templates(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True, capture_output=True,
    )  # fmt: skip
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "mite_tf/py.typed",
        "mite_tf/cli/command.py",
        "mite_tf/configs/flickr8k.toml",
        "mite_tf/reports/report.html",
        "mite_tf/reports/contact_sheet.html",
        "mite_tf/reports/study.html",
        "mite_tf/studies/variants.toml",
        "mite_tf/data/formats/flickr.py",
        "mite_tf/scenes/drawing.py",
        "mite_tf/export/__init__.py",
        "mite_tf/export/model_card.md.jinja",
        "mite_tf/export/serving_ops.json",
        "mite_tf/serving/tf_serving/models.config",
        "mite_tf/serving/__init__.py",
    } <= names
    assert not any(name.startswith(("export/", "serving/", "tests/")) for name in names)
