"""The wheel holds what an operator and a researcher import."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import mite_tf
import mite_tf.export
import mite_tf.serving
from mite_tf.extras import EXTRAS

ROOT = Path(__file__).parents[1]
FOLDERS = {"mite_tf": "mite_tf", "export": "mite_tf/export", "serving": "mite_tf/serving"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_export_and_serving_stand_at_the_top_and_are_installed_inside():
    assert Path(mite_tf.export.__file__).parent == ROOT / "export"
    assert Path(mite_tf.serving.__file__).parent == ROOT / "serving"


def test_every_package_is_listed():
    listed = PYPROJECT["tool"]["setuptools"]["packages"]
    found = {
        ".".join((*Path(installed).parts, *path.parent.relative_to(ROOT / folder).parts))
        for folder, installed in FOLDERS.items()
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


def test_wheel_holds_code_and_all_files_that_it_reads(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True, capture_output=True,
    )  # fmt: skip
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    read = {".py", ".typed", ".toml", ".html", ".jinja", ".json", ".binpb", ".config"}
    for folder, installed in FOLDERS.items():
        for path in (ROOT / folder).rglob("*.*"):
            if path.suffix in read and path.parent.name != "labels":  # a kustomization reads those
                assert f"{installed}/{path.relative_to(ROOT / folder)}" in names
    assert not any(name.startswith(("export/", "serving/", "tests/")) for name in names)


def test_training_needs_no_extra(run_python):
    brought = set().union(*EXTRAS.values()) - {"google.protobuf", "tensorboard"}  # TensorFlow's too
    script = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in sys.argv[1:]:\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import mite_tf.runs, mite_tf.studies, mite_tf.demo\n"
    )
    done = run_python(script, *sorted(brought))
    assert done.returncode == 0, done.stderr
