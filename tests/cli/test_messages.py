"""Messages serve both who types a command and who calls a function."""

import ast
import re

from tests.test_imports import MODULES


def texts(path):
    """The fixed parts of what a file raises or prints, with their lines."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"MiteError", "say"}:
            parts = (n for n in ast.walk(node) if isinstance(n, ast.Constant))
            yield "".join(each.value for each in parts if isinstance(each.value, str)), node.lineno


def test_a_flag_stands_in_brackets_behind_its_name_in_python():
    found = [
        (path, line, text)
        for name, path in MODULES.items()
        if not name.startswith("mite_tf.cli")
        for text, line in texts(path)
        if re.search(r"--[a-z]", text)
    ]
    assert len(found) > 5
    for path, line, text in found:
        bare = re.sub(r"`mite [^`]+`", "", re.sub(r"--\w+_\w+", "", text))  # a whole command
        bare = re.sub(r"\([^()]*--[a-z][^()]*\)", "", bare)
        assert not re.search(r"--[a-z]", bare), f"{path}:{line}: {text}"
