"""The wheel holds what an operator and a researcher import."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import mite_tf
import mite_tf.export
import mite_tf.serving
from mite_tf.extras import EXTRAS

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_export_and_serving_stand_at_the_top_and_are_installed_inside():
    assert Path(mite_tf.export.__file__).parent == ROOT / "export"
    assert Path(mite_tf.serving.__file__).parent == ROOT / "serving"


def test_every_package_is_listed():
    listed = PYPROJECT["tool"]["setuptools"]["packages"]
    found = {
        ".".join((*prefix, *path.parent.relative_to(ROOT).parts))
        for prefix, folder in (((), "mite_tf"), (("mite_tf",), "export"), (("mite_tf",), "serving"))
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert found == set(listed)


def test_the_table_of_extras_is_that_of_the_project():
    declared = PYPROJECT["project"]["optional-dependencies"]
    assert list(EXTRAS) == [name for name in declared if name != "dev"]
    holders = packages_distributions()
    for extra, modules in EXTRAS.items():
        packages = {re.match(r"[\w-]+", each)[0] for each in declared[extra]}
        brought = {
            name: {each.replace("_", "-") for each in holders[name.partition(".")[0]]} & packages
            for name in modules
        }
        assert all(brought.values()), f"{extra}: {brought}"
        assert set().union(*brought.values()) == packages, extra


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
