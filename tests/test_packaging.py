"""The wheel holds what an operator and a researcher import."""

import json
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
from mite_tf.extras import EXTRAS, install_hint

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
    assert found | {"mite_tf.serving.tf_serving"} == set(listed)  # which holds files and no code


def test_the_table_of_extras_is_that_of_the_project():
    declared = PYPROJECT["project"]["optional-dependencies"]
    assert list(EXTRAS) == [name for name in declared if name != "dev"]
    holders = {
        module: {each.lower().replace("_", "-") for each in names}
        for module, names in packages_distributions().items()
    }
    for extra, modules in EXTRAS.items():
        packages = {re.match(r"[\w-]+", each)[0] for each in declared[extra]}
        brought = {name: holders[name.partition(".")[0]] & packages for name in modules}
        assert all(brought.values()), f"{extra}: {brought}"
        assert set().union(*brought.values()) == packages, extra


def test_wheel_holds_code_and_all_files_that_it_reads(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True, capture_output=True,
    )  # fmt: skip
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    read = {
        ".py",
        ".typed",
        ".toml",
        ".html",
        ".jinja",
        ".json",
        ".binpb",
        ".config",
        ".css",
        ".js",
    }
    for folder, installed in FOLDERS.items():
        for path in (ROOT / folder).rglob("*.*"):
            if path.suffix in read and path.parent.name != "labels":  # a kustomization reads those
                assert f"{installed}/{path.relative_to(ROOT / folder)}" in names
    assert not any(name.startswith(("export/", "serving/", "tests/")) for name in names)


BARE = """
import sys
for name in sys.argv[2:]:
    sys.modules[name] = None  # as if it were not installed
import mite_tf
from mite_tf.cli import main
"""


def test_without_extras_data_is_checked_and_the_rest_says_what_to_install(run_python, tmp_path):
    script = BARE + (
        "mite_tf.write_scenes(sys.argv[1], train=9, dev=9, test=9, progress=False)\n"
        "assert main(['data', 'check', sys.argv[1]]) == 0\n"
        "for name in mite_tf.__all__:\n"
        "    try:\n"
        "        getattr(mite_tf, name)\n"
        "    except ImportError as error:\n"
        "        assert isinstance(error, mite_tf.MiteError), error\n"
        "        print(name, error)\n"
    )
    done = run_python(script, tmp_path / "scenes", *set().union(*EXTRAS.values()))
    assert done.returncode == 0, done.stderr
    needs = dict(re.findall(r"^(\w+) .* needs .*\[(\w+)\]", done.stdout, re.MULTILINE))
    assert needs.pop("serve") == "serving"
    assert needs.pop("verify_server") == "client"
    assert set(needs.values()) == {"tensorflow"}
    assert set(mite_tf.__all__) - set(needs) == {
        "CaptionedImages", "Evaluation", "MiteError", "VectorIndex", "__version__", "check",
        "evaluate_embeddings", "read", "serve", "verify", "verify_server", "write_scenes",
    }  # fmt: skip


def test_training_needs_tensorflow_alone(run_python):
    others = set().union(*EXTRAS.values()) - {*EXTRAS["tensorflow"], "google.protobuf"}
    script = BARE + "import mite_tf.runs, mite_tf.studies, mite_tf.demo, mite_tf.export.to_folder\n"
    done = run_python(script, "", *others - {"grpc"})  # which TensorFlow brings
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("noted", "requirement"),
    [
        (None, "'mite-tf[onnx]'"),
        ({"url": "file:///my%20code/mite", "dir_info": {}}, "'/my code/mite[onnx]'"),
        (
            {"url": "file:///mite", "dir_info": {"editable": True}},
            "-e '/mite[onnx]'",
        ),
        ({"url": "file:///mite_tf-1-py3-none-any.whl"}, "'/mite_tf-1-py3-none-any.whl[onnx]'"),
        (
            {"url": "https://a/b.git", "vcs_info": {"vcs": "git", "commit_id": "c0"}},
            "'mite-tf[onnx] @ git+https://a/b.git@c0'",
        ),
    ],
)
def test_a_hint_names_what_was_installed(monkeypatch, noted, requirement):
    class Installed:
        def read_text(self, _):
            return noted and json.dumps(noted)

    monkeypatch.setattr("mite_tf.extras.distributions", lambda name: [Installed()])
    assert install_hint("onnx") == f"{sys.executable} -m pip install {requirement}"
