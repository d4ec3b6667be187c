"""Full disks, closed pipes, Ctrl-C and odd letters: a sentence, and nothing half-written."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from mite_tf.cli import main
from mite_tf.files import refusal_of_disk, write_text, writing
from mite_tf.progress import say

MITE = [sys.executable, "-m", "mite_tf.cli"]
SCENES = ["data", "scenes", "--train", "4", "--dev", "2", "--test", "2", "--size", "32"]
HOSTILE = "a \x1b[31mred\x1b[0m\x00 [bold]dog[/bold] [/] :smile: \u202egod"
SHOWN = r"a \x1b[31mred\x1b[0m\x00 [bold]dog[/bold] [/] :smile: \u202egod"


@pytest.fixture
def photo(tmp_path):
    folder = tmp_path / "photo"
    folder.mkdir()
    Image.new("RGB", (20, 20), "red").save(folder / "1.png")
    (folder / "1.txt").write_text("a red square\n")
    return folder


def mite(*words, **how):
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | how
    return subprocess.run([*MITE, *map(str, words)], check=False, **how)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    """A limit on the size of files stands for the disk: the write itself fails, without a name."""

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))

    done = mite(*SCENES, tmp_path / "scenes", preexec_fn=limited)
    assert done.returncode == 2
    assert done.stderr.startswith(f"mite: {tmp_path}/scenes: File too large. ")
    assert len(done.stderr.splitlines()) == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["data", "check", "photo"], [*SCENES, "scenes"]])
def test_an_output_that_takes_no_more_is_told(photo, words):
    with Path("/dev/full").open("w") as full:
        done = mite(
            *words, stdout=full, cwd=photo.parent, env=os.environ | {"PYTHONUNBUFFERED": ""}
        )
    assert done.returncode == 2
    assert done.stderr.startswith("mite: the output: No space left on device. Free some space")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("1.txt/report.json", "1.txt: File exists. A file lies where a folder is needed."),
        ("1.txt/a/report.json", "/a: Not a directory. A file lies where a folder is needed."),
        (".", ": Is a directory. A folder lies where a file is needed."),
        ("x" * 300, "x: File name too long. Give it a shorter name."),
        ("/proc/report.json", "/proc/report.json: No such file or directory."),
    ],
)
def test_a_place_that_cannot_be_written_is_told(photo, place, told, capsys):
    before = sorted(photo.iterdir())
    assert main(["data", "check", str(photo), "--json", str(photo / place)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert re.search(f"^mite: .*{told}", line)
    assert sorted(photo.iterdir()) == before


def test_libraries_tell_of_the_disk_in_their_own_words():
    """As TensorFlow, HDF5 and tokenizers said it on a full disk."""
    for error, name in (
        (RuntimeError("{{function_node X}} /a b/c; No space left on device [Op:Y]"), "/a b/c"),
        (
            RuntimeError("Unable to write (errno = 28, error message = 'No space left on device')"),
            "r",
        ),
        (Exception("No space left on device (os error 28)"), "r"),
        (OSError(28, "No space left on device"), "r"),
    ):
        with pytest.raises(OSError, match="No space left on device") as caught, writing("r"):
            raise error
        assert caught.value.filename == name
    assert refusal_of_disk(ValueError("no space for it")) is None
    with pytest.raises(FileNotFoundError) as caught, writing("run", draft=".run.1"):
        Path(".run.1/state.npz").stat()
    assert caught.value.filename == "run"


def test_who_reads_the_output_no_more_hears_nothing(photo):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = mite("data", "check", photo, stdout=closed)
    assert (done.returncode, done.stderr) == (141, "")


INTERRUPTED = """
import signal, sys
import mite_tf.cli

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background lacks

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            signal.raise_signal(getattr(signal, sys.argv[2]))

sys.meta_path.insert(0, Interrupting())
sys.exit(mite_tf.cli.main(sys.argv[3:]))
"""


@pytest.mark.parametrize(
    ("module", "signal"),
    [
        ("mite_tf.cli.command", "SIGINT"),
        ("rich.table", "SIGINT"),
        ("rich.table", "SIGTERM"),
        ("tensorflow", "SIGTERM"),
        ("mite_tf.scenes.drawing", "SIGTERM"),
    ],
)
def test_ctrl_c_in_an_import_is_one_line(photo, run_python, module, signal, tmp_path):
    words = ["data", "check", photo]
    if module == "tensorflow":
        words = ["train", photo, "--run", tmp_path / "run"]
    if "scenes" in module:
        words = [*SCENES, tmp_path / "scenes"]
    done = run_python(INTERRUPTED, module, signal, *words)
    go_on = " What was saved last is whole. Go on with the same command and --resume."
    assert done.stderr == f"mite: stopped.{go_on if module == 'tensorflow' else ''}\n"
    assert (done.returncode, done.stdout) == (130, "")
    assert [path.name for path in tmp_path.iterdir()] == ["photo"]


def test_letters_that_the_output_lacks_become_escapes(tmp_path):
    words = [*SCENES, tmp_path / "สุนัข \x1b[31m"]
    done = mite(*words, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(r"\u0e2a\u0e38\u0e19\u0e31\u0e02 \x1b[31m" + "\n")


def test_a_name_that_is_no_utf8_is_told_and_written(photo, tmp_path, capsys):
    name = os.fsdecode(b"caf\xe9")
    for suffix in (".png", ".txt"):
        (photo / f"1{suffix}").rename(photo / f"{name}{suffix}")
    report = tmp_path / "report.json"
    assert main(["data", "check", str(photo), "--json", str(report)]) == 2
    assert r"caf\udce9.png" in capsys.readouterr().out
    assert f"{name}.png" in json.loads(report.read_text("utf-8"))["problems"][0]["file"]
    write_text(report, json.dumps(name, ensure_ascii=False))
    assert json.loads(report.read_text("utf-8")) == name


def test_what_is_no_file_of_ours_is_written_and_not_replaced(photo, tmp_path, capsys):
    pipe, link, real = tmp_path / "pipe", tmp_path / "link.json", tmp_path / "real.json"
    os.mkfifo(pipe)
    real.write_text("old")
    link.symlink_to(real)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)) as reader:
        assert main(["data", "check", str(photo), "--json", str(pipe)]) == 0
        assert json.load(reader)["images"] == 1
    assert pipe.is_fifo()
    assert main(["data", "check", str(photo), "--json", str(link)]) == 0
    assert link.is_symlink()
    assert json.loads(real.read_text())["images"] == 1
    capsys.readouterr()
    for folder in ("/", str(tmp_path)):
        assert main(["data", "check", str(photo), "--json", folder]) == 2
        assert capsys.readouterr().err.startswith(f"mite: {folder}: Is a directory. ")


def test_search_prints_a_caption_as_it_stands_and_says_what_it_wrote(monkeypatch, capsys):
    found = [(0.25, 0.5, HOSTILE), (0.2, 0.4, "สุนัข")]
    hits = [SimpleNamespace(score=a, cosine=b, id=caption) for a, b, caption in found]
    runs = SimpleNamespace(search=lambda *given, **named: hits)
    monkeypatch.setitem(sys.modules, "mite_tf.runs", runs)
    monkeypatch.setattr("mite_tf.cli.search.load_tensorflow", lambda: None)
    words = ["search", "run", "--data", "photos", "--image", "a.jpg", "--html", "out/found.html"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert printed.out == f" 0.250 (cosine  0.500)  {SHOWN}\n 0.200 (cosine  0.400)  สุนัข\n"
    assert printed.err == "Written: out/found.html\n"


def test_lines_of_progress_and_errors_hold_no_control_characters(capsys, tmp_path):
    say(HOSTILE, "bold")
    assert capsys.readouterr().err == f"{SHOWN}\n"
    assert main(["data", "check", str(tmp_path / "\x1b[31mred")]) == 2
    assert r"\x1b[31mred does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "mite: not enough memory. "),
        (RecursionError(), "mite: the input is nested too deeply."),
    ],
)
def test_what_is_too_much_is_one_sentence(error, told, monkeypatch, capsys):
    def fail(*given, **named):
        raise error

    monkeypatch.setattr("mite_tf.data.check", fail)
    assert main(["data", "check", "photos"]) == 2
    assert capsys.readouterr().err.startswith(told)


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("mite_tf.data.check", lambda *given, **named: None)
    with pytest.raises(AttributeError):
        main(["data", "check", "photos"])
