"""`make types` sees what crosses from one room into another."""

import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Where the faults are planted, and what they misuse: something of another room.
BORDERS = {
    "mite_tf/cli/planted.py": ("mite_tf.export", "read_manifest"),
    "mite_tf/cli/planted_too.py": ("mite_tf.serving", "EmbeddingClient"),
    "serving/planted.py": ("mite_tf.export", "read_manifest"),
    "export/planted.py": ("mite_tf.data", "read"),
}
FAULTS = """\
from {room} import {name}
from {room} import no_such_name
{name}(".", no_such_keyword=True)
{name}(3.5)
{name}(".").no_such_attribute
"""
FOUND = [(2, "attr-defined"), (3, "call-arg"), (4, "arg-type"), (5, "attr-defined")]


def test_a_wrong_keyword_a_wrong_type_and_a_missing_attribute_fail(tmp_path):
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, tmp_path)
    for name in ("mite_tf", "export", "serving", ".mypy_cache"):  # with its cache it is quick
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    for file, (room, name) in BORDERS.items():
        (tmp_path / file).write_text(FAULTS.format(room=room, name=name))
    done = subprocess.run(
        ["make", "--assume-old=.venv/ready", "types"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    found = re.findall(r"^(\S+planted\w*\.py):(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.M)
    expected = {(file, line, code) for file in BORDERS for line, code in FOUND}
    assert {(file, int(line), code) for file, line, code in found} == expected
