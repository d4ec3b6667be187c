"""What the documentation says is there, and its commands are ones that `mite` takes."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import mite_tf
from mite_tf.cli import parse

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("**/*.md"))
CONFIGURATIONS = sorted((ROOT / "mite_tf" / "configs").glob("*.toml"))
CONFIGURATIONS.append(ROOT / "mite_tf" / "studies" / "variants.toml")


def blocks(page, language):
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)
    return [block for name, block in found if re.fullmatch(language, name)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            linked = (page.parent / file) if file else page
            assert linked.exists(), target
            if anchor:
                headings = re.findall(r"^#+ (.*)$", linked.read_text("utf-8"), re.M)
                slugs = [
                    re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings
                ]
                assert anchor in slugs, target


def commands():
    for page in PAGES:
        for block in blocks(page, "(?:bash|sh|console)?"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and words[0] in ("mite", ".venv/bin/mite") and "→" not in words:
                    yield pytest.param(words[1:], id=f"{page.name}: {line.strip()[:60]}")


@pytest.mark.parametrize("words", list(commands()))
def test_commands_are_understood(words):
    assert parse(words).call


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_name_what_is_there(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "mite":
                assert hasattr(mite_tf, node.attr), node.attr
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mite_tf"):
                module = __import__(node.module, fromlist=["_"])
                for name in node.names:
                    assert hasattr(module, name.name), name.name


def test_walks_of_the_contributing_guide_name_files_that_are_there():
    walks = "".join(blocks(ROOT / "CONTRIBUTING.md", "")).split("\n\n")
    files = {walk: re.findall(r"^ +(\S+\.py) ", walk, re.M) for walk in walks if "  →  " in walk}
    assert len(files) == 5
    assert all(1 < len(names) <= 6 for names in files.values())
    missing = [name for names in files.values() for name in names if not (ROOT / name).exists()]
    assert not missing


def test_make_targets_named_in_the_documentation_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        code = " ".join(re.findall(r"`([^`]+)`", page.read_text("utf-8")) + blocks(page, ""))
        for words in re.findall(r"\bmake((?: [a-z-]+)+)", code):
            first = words.split()[0]
            assert first in targets, f"{page.name}: make {first}"


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_every_number_of_a_configuration_has_its_reason(path):
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        value = line.partition("=")[2]
        if re.search(r"\d", value.partition("#")[0]):
            assert "#" in value, f"{path.name}:{number}: {line}"


def test_every_public_name_has_a_docstring():
    for name in mite_tf.__all__:
        thing = getattr(mite_tf, name)
        assert name == "__version__" or thing.__doc__, name
