"""Docstrings: a runnable example wherever a user looks, one form, one mood."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path for room in ("mite_tf", "export", "serving") for path in ROOT.glob(f"{room}/**/*.py")
)
SHOWN_BY_EXAMPLE = ("mite_tf/training/", "mite_tf/models/", "mite_tf/losses/", "serving/")
REASON = re.compile(r"\s*# no example: \w+")
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
NOT_A_VERB = {"This", "Always", "Across", "Its", "Less", "As"}


def definitions(path):
    """Every class and function with its qualified name, and the lines of the file."""

    def inside(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Definition):
                yield prefix + child.name, child
                if isinstance(child, ast.ClassDef):
                    yield from inside(child, f"{prefix}{child.name}.")

    text = path.read_text("utf-8")
    return list(inside(ast.parse(text), "")), text.splitlines()


def place(path, node):
    return f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def test_public_classes_and_functions_show_an_example_or_say_why_not():
    bare = []
    for path in FILES:
        if str(path.relative_to(ROOT)).startswith(SHOWN_BY_EXAMPLE):
            found, lines = definitions(path)
            for name, node in found:
                if "." in name or name.startswith("_"):
                    continue  # a method is shown by the example of its class
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                if ">>> " not in (ast.get_docstring(node) or "") and not REASON.match(
                    lines[first - 2] if first > 1 else ""
                ):
                    bare.append(place(path, node))
    assert not bare, "Add an Example:, or `# no example: REASON` above:\n" + "\n".join(bare)


def test_examples_stand_under_their_heading():
    wrong = []
    for path in FILES:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if '"""' in line:
                heading = 100  # none yet
            if line.strip() == "Example:":
                heading = len(line) - len(line.lstrip())
            elif line.lstrip().startswith(">>> ") and not line.startswith(" " * (heading + 4)):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not wrong, "Indent by four more than `Example:`:\n" + "\n".join(wrong)


def test_docstrings_of_public_functions_begin_in_the_third_person():
    wrong = []
    for path in FILES:
        for name, node in definitions(path)[0]:
            words = (ast.get_docstring(node) or "").split()
            private = any(each.startswith("_") for each in name.split("."))
            if words and not (isinstance(node, ast.ClassDef) or is_property(node) or private):
                first = words[0].strip("`,.:;")
                if not first.endswith("s") or first.endswith("ss") or first in NOT_A_VERB:
                    wrong.append(f"{place(path, node)}: {' '.join(words[:8])}")
    assert not wrong, "Begin with a verb, as `Returns …`:\n" + "\n".join(wrong)


def is_property(node):
    names = {ast.unparse(each).split(".")[-1] for each in node.decorator_list}
    return bool(names & {"property", "cached_property", "setter"})
