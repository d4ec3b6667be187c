"""Exports of a few made-up files, and what their readers see."""

import dataclasses
import time

from mite_tf.export.manifest import describe_files, of_one_version
from mite_tf.export.versions import published_when_whole

FORMS = ("onnx/text_encoder.onnx", "onnx/image_encoder.onnx", "tokenizer.json")
SAVEDMODELS = ("savedmodel/text/{}/saved_model.pb", "savedmodel/image/{}/saved_model.pb")
ALL = (*FORMS, "verification/images/a.png", "tf_serving/models.config", *SAVEDMODELS)


def names(folder):
    return {path.name for path in folder.iterdir()}


def publish(out, manifest, *, files=ALL, say=lambda _: None, pause=0.0):
    """An export of made-up files, each of which holds the version; returns that."""
    with published_when_whole(out, say=say) as (folder, version):
        for name in files:
            path = folder / name.format(version)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(version))
            time.sleep(pause)
        dataclasses.replace(manifest, version=version, files=describe_files(folder)).write(folder)
    return version


def whole_version(out):
    """The version that all readers see: by the manifest, and through the plain names."""

    def read(version):
        version.check()
        return version.manifest.version

    number = of_one_version(out, read)
    assert {(out / name).read_text() for name in FORMS if (out / name).exists()} <= {str(number)}
    for name in SAVEDMODELS:  # of any version
        for path in out.glob(name.format("*")):
            assert path.read_text() == path.parent.name
    return number
