import json
import re
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
import tensorflow as tf
from google.protobuf import text_format

from mite_tf.data import read
from mite_tf.errors import MiteError
from mite_tf.export import export, read_manifest, to_folder, verify
from mite_tf.export.describe import write_model_card
from mite_tf.export.keras_formats import write_keras_format
from mite_tf.export.runtimes import SavedModel
from mite_tf.retrieval import HubCorrection
from mite_tf.runs import load_config, train
from mite_tf.runs.export_run import export_run
from mite_tf.serving.wire import messages


def names(folder):
    return {path.name for path in folder.iterdir()}


class TestFolder:
    def test_holds_what_it_should(self, exported):
        assert names(exported) == {
            "MODEL_CARD.md", "hubs.npz", "manifest.json", "onnx", "savedmodel", "tf_serving",
            "tokenizer.json", "verification",
        }  # fmt: skip
        assert names(exported / "onnx") == {
            f"{name}_encoder{kind}.onnx" for name in ("image", "text") for kind in ("", ".int8")
        }
        assert names(exported / "savedmodel") == {"image", "text"}
        assert (
            exported / "savedmodel/image/1/assets.extra/tf_serving_warmup_requests"
        ).stat().st_size > 1000

    def test_manifest_tells_what_it_is(self, exported, run):
        manifest = read_manifest(exported)
        assert (manifest.name, manifest.version, manifest.embedding_size) == ("run", 1, 128)
        assert manifest.preprocessing == {
            "height": 32, "width": 32, "resize": "bilinear", "value_range": [0.0, 255.0],
            "orientation": "exif",
        }  # fmt: skip
        assert manifest.training["data"]["images"] == {"train": 96, "dev": 24, "test": 4}
        assert manifest.training["stage"] == "adversarial"
        # Word vectors are summed in another way here, so that a tie may end otherwise.
        assert manifest.metrics["rsum"] == pytest.approx(manifest.recall["keras"]["rsum"], abs=2)
        assert len(manifest.image["encoder"]) == 64
        data = manifest.training["data"]
        assert manifest.tokenizer["captions_compared"] == sum(data["captions"].values()) > 500
        assert (manifest.tokenizer["max_length"], manifest.tokenizer["lower_case"]) == (40, True)
        assert {"mite-tf", "tensorflow", "keras", "onnxruntime"} <= manifest.versions.keys()
        assert "manifest.json" not in manifest.files
        for name in ("text", "image"):
            whole, small = (
                manifest.files[f"onnx/{name}_encoder{kind}.onnx"]["bytes"] for kind in ("", ".int8")
            )
            assert small < whole > 10_000

    def test_manifest_says_what_the_files_take_and_give(self, exported):
        manifest = read_manifest(exported)
        for name in ("image", "text"):
            described = getattr(manifest, name)
            model = onnx.load(exported / described["onnx"]["file"])
            [(found, dtype, shape)] = [
                (each.name, onnx.helper.tensor_dtype_to_np_dtype(each.type.tensor_type.elem_type),
                 [size.dim_value or None for size in each.type.tensor_type.shape.dim])
                for each in model.graph.input
            ]  # fmt: skip
            assert {"input": found, "dtype": dtype.name, "shape": shape}.items() <= described[
                "onnx"
            ].items()
            assert {described["onnx"]["file"], described["onnx"]["int8"]} <= manifest.files.keys()
            [output] = model.graph.output
            assert described["output"] == {
                "output": output.name, "dtype": "float32", "shape": [None, 128],
            }  # fmt: skip
            loaded = tf.saved_model.load(str(exported / "savedmodel" / name / "1"))
            assert described["signatures"] == {
                key: {"input": each.name, "dtype": each.dtype.name, "shape": each.shape.as_list()}
                for key, signature in loaded.signatures.items()
                for each in signature.structured_input_signature[1].values()
            }

    def test_each_savedmodel_carries_its_own_record(self, exported):
        manifest = read_manifest(exported)
        for name in ("image", "text"):
            path = exported / "savedmodel" / name / "1" / "assets.extra" / "mite_tf.json"
            record = json.loads(path.read_text())
            assert (record["model"], record["version"]) == (name, 1)
            assert record["space"] == manifest.space
            assert record["signatures"] == getattr(manifest, name)["signatures"]

    def test_carries_the_bank_of_the_run_without_tensorflow(self, exported, run, run_python):
        found, manifest = HubCorrection.load(exported / "hubs.npz"), read_manifest(exported)
        assert np.array_equal(found.images, run.hubs().images)
        assert found.space == manifest.space
        assert manifest.hubs == {
            "weight": found.weight, "neighbours": found.neighbours,
            "images": 96, "captions": len(found.captions),
        }  # fmt: skip
        script = (
            "import sys; from mite_tf.retrieval import HubCorrection;"
            "print(HubCorrection.load(sys.argv[1]).images.shape, 'tensorflow' in sys.modules)"
        )
        assert run_python(script, exported / "hubs.npz").stdout == "(96, 128) False\n"

    def test_onnx_finds_what_keras_finds(self, exported):
        recall = read_manifest(exported).recall
        assert recall["onnx"] == recall["keras"]
        assert abs(recall["int8"]["rsum"] - recall["keras"]["rsum"]) < 30  # 24 images: one is 4

    def test_chance_is_on_the_card_and_whether_it_is_beaten(self, exported, tmp_path):
        manifest = read_manifest(exported)
        assert manifest.recall["chance"]["text_to_image"]["r1"] == pytest.approx(100 / 24)
        chance = manifest.metrics["chance_rsum"]
        assert chance == pytest.approx(manifest.recall["chance"]["rsum"])

        def card(rsum, note):
            metrics = manifest.metrics | {"rsum": rsum}
            recall = {} if note is None else manifest.recall | {"note": note}
            write_model_card(
                tmp_path / "card.md", replace(manifest, metrics=metrics, recall=recall)
            )
            return (tmp_path / "card.md").read_text()

        good, poor = card(590.0, ""), card(chance, "RSUM 9.0 does not beat chance.")
        for each in (good, poor, (exported / "MODEL_CARD.md").read_text()):
            assert "| random order | " in each
            assert f"where random order scores {chance:.1f}" in each
        assert "does not beat chance" not in good
        assert poor.count("does not beat chance") == 1
        assert card(chance, None).count("does not beat chance") == 1

    def test_verification_is_in_the_manifest_and_on_the_card(self, exported):
        manifest = read_manifest(exported)
        card = (exported / "MODEL_CARD.md").read_text()
        for kind in (
            "SavedModel, text", "ONNX, image", "ONNX int8, text", "tokenizer.json", "Pillow",
        ):  # fmt: skip
            found = {name: c for name, c in manifest.verification.items() if name.startswith(kind)}
            assert found
            for name, check in found.items():
                assert check["difference"] <= check["tolerance"]
                assert f"| {name} |" in card


class TestServingFiles:
    def test_are_read_by_the_messages_of_the_server(self, exported):
        folder = exported / "tf_serving"
        assert names(folder) == {"models.config", "batching.config", "monitoring.config"}

        def parsed(name, message):
            return text_format.Parse((folder / name).read_text(), message())

        models = parsed("models.config", messages.ModelServerConfig).model_config_list.config
        paths = {each.name: each.base_path for each in models}
        assert paths == {"image": "/models/image", "text": "/models/text"}
        batching = parsed("batching.config", messages.BatchingParameters)
        sizes = list(batching.allowed_batch_sizes)
        assert sizes == sorted(set(sizes))  # the server refuses others
        assert sizes[-1] == batching.max_batch_size.value
        assert not batching.pad_variable_length_inputs  # which would not pad with 0
        monitoring = parsed("monitoring.config", messages.MonitoringConfig)
        assert monitoring.prometheus_config.enable
        assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_encoders_without_a_run_stand_as_a_second_version(exported, make_encoders, tmp_path):
    """As `fit` leaves them: named after the folder, with nothing said of a training."""
    out = shutil.copytree(exported, tmp_path / "mine")
    (out / ".note").write_text("of the operator")
    first, encoders = read_manifest(out), make_encoders()
    with pytest.raises(MiteError, match="int8 is calibrated with images: give table="):
        export(encoders, out, int8=True)
    second = export(encoders, out, formats=["savedmodel"], quiet=True)
    assert (second.name, second.training, second.recall) == ("mine", {}, {})
    assert "kind" not in second.text
    card = (out / "MODEL_CARD.md").read_text()
    assert "# mine, version 2" in card
    assert "Training data" not in card
    assert (first.warnings, len(second.warnings)) == ([], 1)
    assert "**Warning.** The backbone has random weights: nothing has trained them." in card
    assert (first.version, second.version) == (1, 2)
    assert first.space != second.space
    for name in ("image", "text"):
        assert names(out / "savedmodel" / name) == {"1", "2"}
    assert read_manifest(out) == second
    assert names(tmp_path) == {"mine"}
    assert names(out) == {*names(exported), ".note", "versions", "current"} - {"onnx", "hubs.npz"}
    verify(out)


@pytest.mark.parametrize("what", ["path", "run"])
def test_a_run_is_not_for_encoders(what, run, tmp_path):
    given = run if what == "run" else run.path
    with pytest.raises(MiteError, match=rf'mite_tf\.Run\("{run.path}"\)\.export\(out\)'):
        export(given, tmp_path / "out")


def test_a_run_whose_data_is_gone(run, tmp_path, capsys):
    moved = shutil.copytree(run.path, tmp_path / "run")
    info = json.loads((moved / "run.json").read_text())
    info["data"]["source"]["path"] = "nowhere"
    (moved / "run.json").write_text(json.dumps(info))
    with pytest.raises(MiteError, match=r"the data of .*run is not where it was.*--data"):
        export_run(moved, tmp_path / "out", int8=True)
    (tmp_path / "out").write_text("")
    with pytest.raises(MiteError, match="out: is a file"):
        export_run(moved, tmp_path / "out")
    assert "not where it was: no recall" in capsys.readouterr().err.replace("\n", " ")


class TestFailure:
    def test_wrong_results_fail_the_export_and_leave_nothing(
        self, make_encoders, tmp_path, monkeypatch
    ):
        write = to_folder.write_golden

        def write_wrong(folder, encoders):
            write(folder, encoders)
            path = folder / "verification" / "captions.json"
            cases = json.loads(path.read_text())
            cases[2]["embedding"][0] += 0.01
            path.write_text(json.dumps(cases))

        monkeypatch.setattr(to_folder, "write_golden", write_wrong)
        with pytest.raises(MiteError, match=r"(?s)was removed.*ONNX, text, one by one: 0.01"):
            export(make_encoders(), tmp_path / "out", formats=["onnx"], quiet=True)
        assert not names(tmp_path)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"formats": ["tflite"]}, "Unknown format 'tflite'"),
            ({"formats": []}, "at least one format"),
            ({"formats": ["savedmodel"], "int8": True}, "add onnx"),
            ({"stage": "finetune"}, "no best encoders of a stage 'finetune'"),
            ({"data": "nowhere"}, "nowhere"),
            ({"split": "tset"}, "There is no split 'tset'; the table has"),
        ],
    )
    def test_what_cannot_be_is_said_before_any_work(self, options, message, run, tmp_path):
        with pytest.raises(MiteError, match=message):
            export_run(run.path, tmp_path / "out", quiet=True, **options)
        assert not names(tmp_path)

    def test_a_path_that_tensorflow_misreads_is_said_before_any_work(self, exported, run, tmp_path):
        odd = tmp_path / "exports [new]"
        with pytest.raises(MiteError, match=r"TensorFlow takes \[ in a path for a pattern"):
            export_run(run.path, odd, quiet=True)
        assert not names(tmp_path)
        shutil.copytree(exported, odd)
        with pytest.raises(MiteError, match=r"TensorFlow takes \["):
            SavedModel(odd / "savedmodel" / "text" / "1")


@pytest.mark.slow
def test_examples_of_the_card_run_and_give_one_embedding(exported, run_python):
    blocks = re.findall(r"```python\n(.*?)```", (exported / "MODEL_CARD.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    shown = []
    for block in blocks:
        done = run_python(f"import os, sys\nos.chdir(sys.argv[1])\n{block}", exported)
        assert done.returncode == 0, done.stderr
        shown.append([float(number) for number in re.findall(r"-?\d\.\d+(?:e-?\d+)?", done.stdout)])
    assert len(shown[0]) > 4
    np.testing.assert_allclose(*shown, atol=1e-5)


@pytest.mark.slow
class TestFormatsOfKeras:
    def test_litert_and_openvino_equal_keras(self, run, tmp_path):
        formats = ["litert", "openvino"]
        manifest = export_run(run.path, tmp_path / "out", formats=formats, quiet=True)
        for name in formats:
            for encoder in ("text", "image"):
                check = manifest.verification[f"{name}, {encoder}, one batch"]
                assert check["difference"] <= check["tolerance"] == 1e-4
            refusal = manifest.verification[f"{name}, text, numbers taken that are no token ids"]
            assert refusal == {"difference": 0, "tolerance": 0}

    def test_recurrent_encoder_for_openvino_is_told(self, make_encoders, tmp_path):
        with pytest.raises(MiteError, match=r"text encoder cannot be written for openvino: .*List"):
            write_keras_format(tmp_path, make_encoders("recurrent"), "openvino")


@pytest.mark.slow
def test_features_that_come_precomputed_are_what_the_image_encoder_takes(run, tmp_path):
    table = read(run.info["data"]["source"]["path"])
    random = np.random.default_rng(0)
    features = random.random((len(table), 12), np.float32)
    np.savez(tmp_path / "features.npz", ids=table.image_ids, features=features)
    config = load_config(
        "scenes",
        {"stages.align.epochs": 1, "stages.classify.epochs": 0, "stages.adversarial.epochs": 0,
         "stages.finetune.epochs": 0, "stages.align.inputs": "features",
         "stages.align.backbone_share": 0.0, "image_head.pooling": "average",
         "backbone.name": "features", "backbone.features": str(tmp_path / "features.npz")},
    )  # fmt: skip
    trained = train(table, tmp_path / "run", config=config, quiet=True)
    manifest = export_run(trained, tmp_path / "out", data=table, quiet=True)
    assert set(manifest.image["signatures"]) == {"serving_default", "features"}
    assert manifest.preprocessing is None
    assert manifest.recall["onnx"] == manifest.recall["keras"]
    shutil.rmtree(tmp_path / "run")
    verify(tmp_path / "out")
