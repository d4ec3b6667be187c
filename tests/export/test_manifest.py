import json
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


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"formats": None, "version": "one"}, "version: .*integer.*; formats: .*list"),
        ({"files": {"../secret": {}}}, r"outside of the export: \.\./secret"),
        ({"files": {"/etc/hostname": {}}}, "outside of the export: /etc/hostname"),
        ({"mite_tf_export": 2}, "of format 2; this version of mite_tf reads 1"),
    ],
)
def test_what_is_no_manifest_is_told(values, message, manifest, tmp_path):
    with pytest.raises(MiteError, match=message):
        read_manifest(spoilt(tmp_path, manifest, **values))
