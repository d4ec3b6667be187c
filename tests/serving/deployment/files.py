"""The files that an operator applies, parsed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

SERVING = Path(__file__).parents[3] / "serving"
SETTINGS = SERVING / "tf_serving"
KUBERNETES = SERVING / "kubernetes"
COMPOSE = SERVING / "compose.yaml"


def documents(path: Path) -> list[dict[str, Any]]:
    """All documents of a YAML file."""
    return [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]


def objects_of(folder: Path) -> list[dict[str, Any]]:
    """What the kustomization of a folder lists as files: Kubernetes objects."""
    [kustomization] = documents(folder / "kustomization.yaml")
    files = [folder / name for name in kustomization.get("resources", []) if ".." not in name]
    return [each for file in files for each in documents(file)]


def patches_of(folder: Path) -> list[dict[str, Any]]:
    """Patches of a folder that are parts of objects."""
    found = [each for path in sorted(folder.glob("*.yaml")) for each in documents(path)]
    return [each for each in found if isinstance(each, dict) and "metadata" in each]


def one(objects: list[dict[str, Any]], kind: str, name: str | None = None) -> dict[str, Any]:
    """The only object of a kind, or that with a name."""
    [found] = [
        each for each in objects
        if each["kind"] == kind and name in (None, each["metadata"]["name"])
    ]  # fmt: skip
    return found


def container_of(deployment: dict[str, Any]) -> dict[str, Any]:
    """The container of the server."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    [found] = [each for each in containers if each["name"] == "serving"]
    return found


def base() -> list[dict[str, Any]]:
    """Objects of kubernetes/base."""
    return objects_of(KUBERNETES / "base")


def compose() -> dict[str, Any]:
    """The compose file."""
    [found] = documents(COMPOSE)
    return found


def flags_of(arguments: list[str]) -> dict[str, str]:
    """Flags by name, from `--name=value`."""
    assert all(each.startswith("--") and "=" in each for each in arguments), arguments
    pairs = [each.removeprefix("--").partition("=") for each in arguments]
    flags = {name: value for name, _, value in pairs}
    assert len(flags) == len(pairs), "a flag is given twice"
    return flags


def kustomize(folder: Path) -> list[dict[str, Any]] | None:
    """What kustomize makes of a folder; None where neither kustomize nor kubectl is installed."""
    for tool, command in (("kustomize", ["build"]), ("kubectl", ["kustomize"])):
        if path := shutil.which(tool):
            done = subprocess.run(
                [path, *command, str(folder)], capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done.stderr
            return [each for each in yaml.safe_load_all(done.stdout) if each]
    return None
