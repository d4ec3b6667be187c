import json
import shlex
import shutil
import signal

import numpy as np
import pytest

import mite_tf.studies.measurement
from mite_tf.cli import main, parse
from mite_tf.data import read
from mite_tf.errors import MiteError
from mite_tf.evaluation import evaluate_embeddings
from mite_tf.runs import embed, load_config, parse_overrides, train
from mite_tf.runs.alone import Alone
from mite_tf.scenes import ruled_out
from mite_tf.studies import study
from mite_tf.studies.study_folder import StudyFolder
from mite_tf.training import StageSchedule
from tests.runs.resuming import assert_same_state
from tests.studies.conftest import record_trainings

CRITIC = """
[critic]
"adversarial_loss" = { name = "wasserstein" }
"discriminator.hidden_sizes" = [4, 4]
"""


@pytest.fixture(scope="module")
def grown(scenes, config, tmp_path_factory):
    """Two variants with two seeds, then a third variant with another discriminator.

    Returns the folder and what was trained for both steps.
    """
    out = tmp_path_factory.mktemp("study") / "out"
    variants = out.parent / "variants.toml"
    variants.write_text(CRITIC)
    with pytest.MonkeyPatch.context() as monkeypatch:
        calls = record_trainings(monkeypatch)
        study(scenes, out, config=config, seeds=2, quiet=True)
        first = list(calls)
        folder = study(
            scenes, out, config=config, variants=["baseline", "critic"], seeds=1,
            variants_file=variants, quiet=True,
        )  # fmt: skip
    return folder, first, calls[len(first) :]


@pytest.fixture
def folder(grown):
    return grown[0]


def assert_same_training(one, other, idle=()):
    """Compares weights, optimizers and history, where columns that begin with `idle` may differ."""
    assert_same_state(one, other)
    assert list(one.best_folders()) == list(other.best_folders())
    rows = [
        [{k: v for k, v in row.items() if not k.startswith(("seconds", *idle))} for row in history]
        for history in (one.history(), other.history())
    ]
    assert rows[0] == rows[1]


class TestTraining:
    def test_a_run_is_to_the_bit_one_that_was_trained_alone(self, folder, scenes, tmp_path):
        run = folder.run("critic", 0)
        alone = train(scenes, tmp_path / "alone", config=run.config, quiet=True)
        # In `align` the idle discriminator of the critic is not that of the shared training.
        assert_same_training(run, alone, idle=("discriminator_", "adversarial_"))

    def test_variants_differ_after_their_common_beginning(self, folder):
        rows = {name: folder.run(name, 0).history() for name in ("baseline", "mite", "critic")}
        for epoch, same in enumerate([True, True, False, False]):
            losses = {history[epoch]["matching_loss"] for history in rows.values()}
            assert (len(losses) == 1) == same, epoch

    def test_what_is_common_is_trained_once_a_seed_and_a_study_grows_by_what_is_missing(
        self, grown
    ):
        _, first, then = grown
        assert first == [
            "shared/seed-0", "runs/baseline/seed-0", "runs/mite/seed-0",
            "shared/seed-1", "runs/baseline/seed-1", "runs/mite/seed-1",
        ]  # fmt: skip
        assert then == ["runs/critic/seed-0"]

    @pytest.mark.slow
    @pytest.mark.parametrize("batch", [4, 11], ids=["shared stages", "own stages"])
    def test_an_interrupted_study_ends_as_one_that_was_not(
        self, folder, scenes, config, tmp_path, monkeypatch, batch
    ):
        count = 0
        original = StageSchedule.on_train_batch_begin

        def interrupt(self, *arguments, **named):
            nonlocal count
            count += 1
            if count == batch:
                signal.raise_signal(signal.SIGINT)
            original(self, *arguments, **named)

        monkeypatch.setattr(StageSchedule, "on_train_batch_begin", interrupt)
        wanted = {"config": config, "variants": ["mite"], "seeds": 1, "quiet": True}
        with pytest.raises(KeyboardInterrupt):
            study(scenes, tmp_path / "out", **wanted)
        resumed = study(scenes, tmp_path / "out", **wanted)
        assert_same_training(resumed.run("mite", 0), folder.run("mite", 0))


class TestReport:
    def test_measures_are_those_of_an_evaluation(self, folder, scenes):
        table = read(scenes).split("dev")
        for each in folder.measurements("dev"):
            if (each.variant, each.seed) == ("mite", 1):
                embeddings = embed(folder.run("mite", 1).path, table, stage=each.stage, quiet=True)
                for ours, theirs in zip(embeddings, each.embeddings(), strict=True):
                    np.testing.assert_array_equal(ours, theirs)
                evaluation = evaluate_embeddings(*embeddings)
                assert each.measures["rsum"] == evaluation.rsum
                probe = evaluation.invariance["probe_accuracy"]
                assert each.measures["probe_accuracy"] == probe
                comparisons = sum(c.comparisons for c in each.near_misses.values())
                assert comparisons == len(ruled_out(table)) > 20

    def test_shared_stages_do_not_differ_and_nothing_is_trained_or_embedded_again(
        self, folder, scenes, config, monkeypatch
    ):
        monkeypatch.setattr(mite_tf.studies.measurement, "embed", None)
        trained = record_trainings(monkeypatch)
        study(scenes, folder.path, config=config, seeds=2, stage="align", quiet=True)
        assert trained == []
        differences = folder.record["results"]["differences"]["mite"]
        assert differences["rsum"]["differences"] == {"0": 0.0, "1": 0.0}
        assert differences["rsum"]["over_queries"] == [0.0, 0.0]

    def test_differences_are_those_of_the_runs(self, folder, scenes, capsys):
        words = ["--config", folder.config_file, "--seeds", 2, "--out", folder.path]
        assert main(["study", str(scenes), *map(str, words)]) == 0
        assert "minus" in capsys.readouterr().out
        rsum = {
            (m.variant, m.seed): m.measures["rsum"]
            for m in folder.measurements("dev")
            if m.stage == "adversarial"
        }
        found = folder.record["results"]["differences"]
        expected = {str(s): rsum["mite", s] - rsum["baseline", s] for s in (0, 1)}
        assert found["mite"]["rsum"]["differences"] == expected
        assert found["critic"]["rsum"]["differences"].keys() == {"0"}
        assert found["critic"]["rsum"]["student"] is None

    def test_near_misses_are_compared_by_kind(self, folder):
        last = {
            (m.variant, m.seed): m.near_misses
            for m in folder.measurements("dev")
            if m.stage == "adversarial"
        }
        document = (folder.path / "study.md").read_text()
        table = document.partition("## Near misses: differences to baseline")[2]
        found = folder.record["results"]["differences"]["mite"]
        assert {"colour", "shape", "relation"} <= last["mite", 0].keys()
        for kind in last["mite", 0]:
            differences = [
                last["mite", seed][kind].percent - last["baseline", seed][kind].percent
                for seed in (0, 1)
            ]
            measured = found[f"near_miss_{kind}"]["differences"]
            assert [measured["0"], measured["1"]] == pytest.approx(differences)
            assert f"| mite | {kind} | {sum(differences) / 2:+.1f} | " in table

    def test_galleries_are_compared_by_cosine_corrected_and_with_rivals(self, folder):
        last = {
            (m.variant, m.seed): m
            for m in folder.measurements("dev")
            if m.stage == "adversarial" and m.variant != "critic"
        }
        document = (folder.path / "study.md").read_text()
        table = document.partition("## Galleries of images and captions: differences")[2]
        compared = {
            (each["variant"], each["scoring"], each["against_scoring"]): each
            for each in folder.record["results"]["protocol_differences"]
            if each["measure"] == "p0.5_mean_r1" and each["variant"] == "mite"
        }
        rivals = ("means", "variances", "covariances", "z_scores", "reciprocal_rank")
        pairs = [("cosine", "cosine"), ("hubs", "hubs"), *(("cosine", each) for each in rivals)]
        assert compared.keys() == {("mite", *pair) for pair in pairs}
        for (_, ours, theirs), each in compared.items():
            expected = {
                str(seed): last["mite", seed].value("mixed", ours, "p0.5_mean_r1")
                - last["baseline", seed].value("mixed", theirs, "p0.5_mean_r1")
                for seed in (0, 1)
            }
            assert each["differences"] == pytest.approx(expected)
        assert "| mite, hubs corrected − baseline, hubs corrected | 2 |" in table
        assert "| mite − baseline, means and covariances | 2 |" in table

    def test_evaluate_measures_the_same_of_one_run(self, folder, scenes, tmp_path, capsys):
        run, json_file, page = (
            folder.run("mite", 0),
            tmp_path / "found.json",
            tmp_path / "page.html",
        )
        words = ["--data", scenes, "--protocol", "mixed", "--json", json_file, "--html", page]
        assert main(["evaluate", *map(str, (run.path, *words))]) == 0
        [last] = [
            each
            for each in folder.measurements("dev")
            if (each.variant, each.seed, each.stage) == ("mite", 0, "adversarial")
        ]
        found = json.loads(json_file.read_text())["scores"]
        assert found == last.protocols["mixed"].scores
        assert "hubs corrected" in capsys.readouterr().out
        text = page.read_text()
        assert "data:image/png;base64" in text
        assert f"{found['z_scores']['p0.5_mean_r1']:.1f}" in text
        with pytest.raises(MiteError, match=r"Unknown protocol 'mixd'; .* coco-5k, mixed, every"):
            run.evaluate(scenes, protocol="mixd")

    def test_what_was_measured_before_there_were_protocols_gets_them(
        self, folder, scenes, config, tmp_path, monkeypatch
    ):
        copy = StudyFolder(shutil.copytree(folder.path, tmp_path / "study"))
        [file] = (copy.measured("dev", "mite", 1)).glob("adversarial.json")
        before = json.loads(file.read_text())
        assert before["protocols"]["everything"]["scores"]["hubs"]
        file.write_text(json.dumps({k: v for k, v in before.items() if k != "protocols"}))
        monkeypatch.setattr(mite_tf.studies.measurement, "embed", None)
        study(scenes, copy.path, config=config, seeds=2, quiet=True)
        assert json.loads(file.read_text()) == before

    def test_page_document_plots_and_json_are_there(self, folder):
        json.loads((folder.path / "study.json").read_text(), parse_constant=pytest.fail)
        page = (folder.path / "study.html").read_text()
        assert page.count("data:image/png;base64") == len(list((folder.path / "plots").iterdir()))
        document = (folder.path / "study.md").read_text()
        for heading in ("Summary", "Differences to baseline", "Near misses", "Runs"):
            assert f"## {heading}" in document
            assert f"<h2>{heading}</h2>" in page
        for line in document.splitlines():
            if line.startswith("!["):
                assert (folder.path / line.partition("](")[2].rstrip(")")).exists()

    def test_commands_reproduce_the_runs(self, folder):
        commands = {
            words[words.index("--run") + 1]: parse(words[1:])
            for line in (folder.path / "study.md").read_text().splitlines()
            if "`mite train" in line
            for words in [shlex.split(line.split("`")[1])]
        }
        for name in ("baseline", "mite", "critic"):
            options = commands[f"runs/{name}-seed-0"]
            config = load_config(options.config, parse_overrides(options.set))
            assert config == folder.run(name, 0).config


def test_few_images_leave_measures_out_and_cannot_tell(folder, scenes, config, tmp_path):
    """The test split has four images."""
    copy = shutil.copytree(folder.path, tmp_path / "copy")
    few = study(scenes, copy, config=config, seeds=1, split="test", quiet=True)
    [first, *_] = few.measurements("test")
    assert first.images == 4
    assert not {"probe_accuracy", "linear_probe_accuracy"} & set(first.measures)
    assert "needs at least 5 images" in first.left_out["probe_accuracy"]
    text = (copy / "study.md").read_text()
    assert "probe is left out: The probe needs at least 5 images" in text
    assert "| random order |" in text
    results = few.record["results"]
    assert "probe_accuracy" not in results["differences"]["mite"]
    assert results["chance"]["rsum_deviation"] > 50


def test_a_training_that_fails_is_left_out_and_told(grown, scenes, config, tmp_path):
    folder = grown[0]
    file = tmp_path / "variants.toml"
    file.write_text('[broken]\n"stages.adversarial.learning_rate" = 1e30\n')
    with pytest.raises(MiteError, match=r"1 of 2 runs failed .*\n  broken, seed 0: .*finite"):
        study(
            scenes, folder.path, config=config, variants=["broken", "mite"], seeds=1,
            variants_file=file, quiet=True,
        )  # fmt: skip
    assert "broken" not in {each.variant for each in folder.measurements("dev")}
    [[seed, sentences]] = [[s, w] for (name, s), w in folder.warnings().items() if name == "broken"]
    assert seed == 0
    assert f"| broken | 0 | {sentences[0]} |" in (folder.path / "study.md").read_text()


class TestErrors:
    @pytest.mark.parametrize(
        ("asked", "message"),
        [
            ({"variants": ["mite", "mitee"]}, r"No variant 'mitee'; there are baseline, mite, "),
            ({"variants": ["mite", "mite"]}, "Name each variant once"),
            ({"seeds": 0}, "at least one seed"),
            ({"first_seed": 2**32}, "below 2"),
            ({"overrides": {"tokenizer.lower_case": False}}, "a study of another configuration"),
            ({"stage": "warm"}, "No stage 'warm' trains encoders; there are align, adversarial"),
            ({"against": "mmd"}, "No variant 'mmd' to compare with; there are baseline, mite"),
        ],
    )
    def test_what_does_not_fit_is_named(self, folder, scenes, config, asked, message):
        wanted = {"config": config, "seeds": 1, "quiet": True} | asked
        with pytest.raises(MiteError, match=message):
            study(scenes, folder.path, **wanted)

    def test_another_variant_or_other_data_is_refused(self, folder, scenes, config, tmp_path):
        file = tmp_path / "variants.toml"
        file.write_text('[mite]\n"optimizer.clip_norm" = 1.0\n')
        with pytest.raises(MiteError, match="its variant 'mite' is another one"):
            study(scenes, folder.path, config=config, variants_file=file, quiet=True)
        with pytest.raises(MiteError, match="study of other data"):
            study(read(scenes)[4:], folder.path, config=config, quiet=True)


def test_two_studies_do_not_write_into_one_folder(folder, scenes, config, tmp_path):
    for place in (folder.path, tmp_path / "new"):
        with Alone(place, "study"), pytest.raises(MiteError, match="another study writes there"):
            study(scenes, place, config=config, seeds=1, quiet=True)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"data": 1}', b"\xff", None])
def test_a_damaged_file_of_a_study_is_told(folder, scenes, config, tmp_path, damage):
    copy = StudyFolder(shutil.copytree(folder.path, tmp_path / "study"))
    for path in (copy.path / "study.json", *(copy.path / "measured").rglob("*seed-0/align.*")):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
        with pytest.raises(MiteError, match=f"{path.name}: not "):
            [each.embeddings() for each in copy.measurements("dev")]
        path.write_bytes(whole)
