"""Imports point one way: the table of rooms in CONTRIBUTING.md says who may import whom.

An import counts wherever it stands: in a function, for a type checker, or as the name of a module
that is imported when it is first asked for.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = {"mite_tf": "mite_tf", "export": "mite_tf.export", "serving": "mite_tf.serving"}


def modules():
    """The path of each module by its name."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *parts]).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imported(path):
    """Which of our modules a file imports, with the lines."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = list(ast.walk(tree))
    lazy = any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in nodes)
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: name the module in full"
            submodules = [f"{node.module}.{each.name}" for each in node.names]
            names = [name if name in MODULES else node.module for name in submodules]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [each.value for each in node.args if isinstance(each, ast.Constant)]
        elif lazy and isinstance(node, ast.Constant):
            names = [node.value]
        else:
            continue
        for name in names:
            if name in MODULES:
                yield name, node.lineno


IMPORTS = {name: list(imported(path)) for name, path in MODULES.items()}


def room_of(module):
    """`mite_tf.data.images` → `data`; the package itself is a room of its own."""
    return (*module.split("."), module)[1]


def allowed():
    """What each room may import, as the table says; a row names only rows above it."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rows = re.search(r"^\| Room \|.*\n.*\n((?:\|.*\n)+)", text, re.M)[1].splitlines()
    base, may = set(), {}
    for row in rows:
        rooms, others = (re.findall(r"`(\w+)`", cell) for cell in row.strip("|").split("|"))
        assert set(others) <= set(may), f"not above: {row}"
        named = set(may) - set(others) if "all above" in row else set(others)
        base = base or set(rooms)
        for room in rooms:
            may[room] = {room} | base | named
    return may


def test_rooms_import_only_what_the_table_allows():
    may = allowed()
    assert set(may) == {room_of(name) for name in MODULES}, "the table names each room once"
    wrong = {
        f"{MODULES[name].relative_to(ROOT)}:{line}: `{room_of(name)}` imports {other}"
        for name, others in IMPORTS.items()
        for other, line in others
        if room_of(other) not in may[room_of(name)]
    }
    assert not wrong, "\n" + "\n".join(sorted(wrong))


def test_no_two_files_import_each_other():
    def reached(name):
        seen, ahead = set(), [name]
        while ahead:
            new = {other for other, _ in IMPORTS[ahead.pop()]} - seen
            seen |= new
            ahead += new
        return seen

    reach = {name: reached(name) for name in MODULES}
    circles = {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in MODULES
        if name in reach[name]
    }
    assert not circles, "\n" + "\n".join(" ↔ ".join(circle) for circle in sorted(circles))
