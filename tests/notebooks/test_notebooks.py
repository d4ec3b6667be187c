"""Every notebook runs from top to bottom, in an empty folder, and was kept as it ran."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
# One trains several times, the others export, which takes a minute by itself.
SLOW = {"03_what_the_adversary_does", "04_export_and_serve", "05_search_your_pictures"}
RUNS = [
    pytest.param(path, marks=[pytest.mark.slow] if path.stem in SLOW else [], id=path.stem)
    for path in NOTEBOOKS
]


def found_by_the_guard(notebook):
    """Its sentences in the outputs, without their numbers."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    lines = "".join(output.get("text", "") for output in outputs).splitlines()
    return [re.sub(r"[-+]?[\d.]*\d", "#", line) for line in lines if "Since epoch" in line]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the Jupyter client
@pytest.mark.parametrize("path", RUNS)
def test_notebook_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    assert found_by_the_guard(notebook) == found_by_the_guard(nbformat.read(path, as_version=4))
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 4
    assert not any(
        output.get("name") == "stderr"
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_was_kept_as_it_ran(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data"}
    assert not any(output.get("name") == "stderr" for output in outputs)
    texts = [
        output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs
    ]
    for text in texts:
        assert not re.search(r"(?<![\w.:/])/(home|root|tmp|usr|work|Users)\b|Warning", text), text
