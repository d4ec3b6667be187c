import json
import os
import re
from dataclasses import replace

import pytest

from mite_tf.errors import MiteError
from mite_tf.export.manifest import read_manifest


def spoilt(folder, manifest, **values):
    manifest.write(folder)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def test_reads_what_was_written_and_no_entries_of_a_later_version(manifest, tmp_path):
    full = replace(manifest, space="a" * 64, files={"a/b": {"sha256": "0" * 64, "bytes": 1}})
    assert read_manifest(spoilt(tmp_path, full)) == full
    assert read_manifest(spoilt(tmp_path, full, colour="red")) == full


def test_odd_paths_are_told(tmp_path):
    (tmp_path / "[x]").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "[x]" / "manifest.json")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").symlink_to("../outside")
    (tmp_path / "outside").write_text("{}")
    for name in ("[x]", "[y]", "loop", "pipe", "x" * 300, "a\0b", "out"):
        with pytest.raises(MiteError, match=rf"{re.escape(str(tmp_path / name))}: [^\n]+\.$"):
            read_manifest(tmp_path / name)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"formats": None, "version": "one"}, "version: .*integer.*; formats: .*list"),
        ({"files": {"../secret": {}}}, r"outside of the export: \.\./secret"),
        ({"files": {"/etc/hostname": {}}}, "outside of the export: /etc/hostname"),
        ({"version": 10**30}, "version: .*less than or equal to 9223372036854775807"),
        ({"version": True}, "version: .*integer"),
        ({"version": "4"}, "version: .*integer"),
        ({"embedding_size": 0}, "embedding_size: .*greater than or equal to 1"),
        ({"metrics": {"rsum": float("nan")}}, "NaN is no JSON"),
        ({"formats": ["onnx", "tflite"]}, "formats.1: "),
        ({"formats": ["onnx", "onnx"]}, "formats: named twice"),
        ({"nested_sizes": [0]}, "nested_sizes.0: .*greater than or equal to 1"),
        ({"nested_sizes": [1]}, "nested_sizes: not below embedding_size"),
        ({"files": {"a": {"sha256": "0" * 63, "bytes": 1}}}, "files.a.sha256: "),
        ({"files": {"a": {"sha256": "0" * 64, "bytes": -1}}}, "files.a.bytes: "),
        ({"files": {"a//b": {}}}, "outside of the export: a//b"),
        ({"preprocessing": {"height": 100_000}}, "preprocessing.height: .*to 4096"),
        ({"mite_tf_export": True}, "of format True"),
        ({"mite_tf_export": 2}, "of format 2; this version of mite_tf reads 1"),
    ],
)
def test_what_is_no_manifest_is_told(values, message, manifest, tmp_path):
    with pytest.raises(MiteError, match=message):
        read_manifest(spoilt(tmp_path, manifest, **values))


NO_JSON = ["", "[" * 200_000, '{"a":' * 200_000, "\0", "null", "7" * 9000]


@pytest.mark.parametrize("text", NO_JSON, ids=range(len(NO_JSON)))
def test_what_is_no_json_is_told(text, tmp_path):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(MiteError, match=r"manifest\.json: not a manifest of `mite export`"):
        read_manifest(tmp_path)


def test_a_manifest_beyond_all_measure_is_not_read(tmp_path):
    with (tmp_path / "manifest.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(MiteError, match="more than the 16 MiB"):
        read_manifest(tmp_path)


def test_what_is_no_number_is_written_as_null(manifest, tmp_path):
    replace(manifest, metrics={"loss": float("nan"), "rsum": 3.5}).write(tmp_path)
    assert read_manifest(tmp_path).metrics == {"loss": None, "rsum": 3.5}
