import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mite_tf.data import CaptionedImages
from mite_tf.data.feature_cache import FeatureCache
from mite_tf.encoders import Encoders
from mite_tf.errors import MiteError, UnknownWordsWarning
from mite_tf.evaluation import evaluate_embeddings
from mite_tf.runs import Run, build_model, embed, evaluate, load_config, search, train
from mite_tf.training import Checkpoint, read_values
from tests.runs.resuming import CtrlC, assert_same_state


@pytest.fixture(scope="module")
def run(table, tmp_path_factory, make_config):
    """One uninterrupted training through all four stages."""
    return train(table, tmp_path_factory.mktemp("run") / "run", config=make_config(), quiet=True)


def refuse(*given, **named):
    raise PermissionError(13, "Permission denied")


def assert_same_history(one, other):
    def rows(run):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in run.history()]

    assert rows(one) == rows(other)


class TestRunFolder:
    def test_holds_what_it_should(self, run, table):
        names = {path.name for path in run.path.iterdir()}
        assert names == {
            "best", "checkpoint", "config.toml", "features", "history.csv", "logs", "run.json",
            "vocabulary.txt",
        }  # fmt: skip
        assert run.info["data"]["images"] == {"train": 48, "dev": 12}
        assert run.info["data"]["fingerprint"] == table.fingerprint()
        assert run.config == load_config(run.path / "config.toml")
        assert list((run.path / "logs").glob("events.*"))

    def test_history_has_a_row_an_epoch_with_its_stage(self, run):
        history = run.history()
        assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6, 7, 8]
        assert [row["stage"] for row in history] == [
            *["align"] * 4, "finetune", "classify", "adversarial", "adversarial",
        ]  # fmt: skip
        assert {"matching_loss", "rsum", "centroid_gap", "image_to_text_r1"} <= set(history[0])
        assert "discriminator_loss" not in history[0]
        assert "discriminator_loss" in history[5]
        assert history[5]["rsum"] == history[4]["rsum"]  # `classify` leaves the encoders alone

    def test_keeps_the_best_of_each_stage(self, run, table):
        assert list(run.best_folders()) == ["align", "finetune", "classify", "adversarial"]
        assert run.best().name.endswith("-adversarial")
        for stage in ("align", "adversarial"):
            best = max(row["rsum"] for row in run.history() if row["stage"] == stage)
            found = run.evaluate(table, stage=stage, quiet=True)
            assert found.rsum == pytest.approx(best)

    def test_vocabulary_is_that_of_the_train_split(self, run, table):
        words = (run.path / "vocabulary.txt").read_text().split("\n")
        assert "square" in words
        captions = " ".join(table.split("train").captions)
        assert all(w in captions for w in words if w.isalpha() and len(w) > 3)


class TestUse:
    def test_learns_colours(self, run, table):
        hits = run.search(table, "a red square", split="dev", top=4, quiet=True)
        red = [int(hit.id.removesuffix(".png")) % 3 == 0 for hit in hits]
        assert red[0]
        assert sum(red) >= 3  # of the four in dev; by chance it would be one or two

    def test_finds_sentences_for_an_image(self, run, table, tmp_path):
        Image.new("RGB", (50, 40), (40, 60, 220)).save(tmp_path / "blue.png")
        hits = search(
            run.path, table, image=tmp_path / "blue.png", top=3, quiet=True,
            html=tmp_path / "found.html",
        )  # fmt: skip
        assert all("blue" in hit.id for hit in hits)
        assert "data:image/jpeg" in (tmp_path / "found.html").read_text()

    def test_ranks_by_the_cosine_less_the_bias_and_gives_both(self, run, table, tmp_path):
        found = {}
        for corrected in (True, False):
            options = {"hub_correction": corrected, "html": tmp_path / f"{corrected}.html"}
            found[corrected] = run.search(table, "a red square", top=60, quiet=True, **options)
        plain = {hit.id: hit for hit in found[False]}
        vectors = dict(zip(table.image_ids, embed(run, table, quiet=True).images, strict=True))
        bias = run.hubs().bias([vectors[hit.id] for hit in found[True]], queries="caption")
        assert np.ptp(bias) > 0.001
        for hit, off in zip(found[True], bias, strict=True):
            assert hit.cosine == plain[hit.id].cosine == plain[hit.id].score
            assert hit.score == pytest.approx(hit.cosine - off, abs=1e-6)
        scores = [hit.score for hit in found[True]]
        assert scores == sorted(scores, reverse=True)
        pages = {each: (tmp_path / f"{each}.html").read_text() for each in found}
        assert f"<span>cosine {found[True][0].cosine:.3f}</span>" in pages[True]
        assert "<span>cosine" not in pages[False]

    def test_a_second_search_reads_the_index(self, run, table, monkeypatch):
        first = search(run.path, table, "green", quiet=True)
        monkeypatch.setattr(Encoders, "embed_images", None)
        assert search(run.path, table, "green", quiet=True) == first

    def test_a_query_of_unknown_words_says_so(self, run, table, capsys):
        with pytest.warns(UnknownWordsWarning, match="No word of '犬 🐕' is known"):
            search(run.path, table, "犬 🐕", quiet=True)
        search(run.path, table, "犬 green", quiet=True)  # a warning would be an error
        for wordless in ("", "\u200b\ufeff", "\x01", "\ufe0f", "\u0301"):
            with pytest.raises(MiteError, match="is empty: it holds no word"):
                search(run.path, table, wordless, quiet=True)

    def test_a_run_that_must_not_be_written_is_searched_without_an_index(
        self, run, table, monkeypatch
    ):
        first = search(run.path, table, "green", quiet=True)
        shutil.rmtree(run.path / "index")
        monkeypatch.setattr("mite_tf.files.Path.mkdir", refuse)
        assert search(run.path, table, "green", quiet=True) == first
        assert not (run.path / "index").exists()

    def test_evaluation_holds_the_named_keys(self, run, table, tmp_path):
        evaluation = evaluate(run.path, table, html=tmp_path / "page.html", quiet=True)
        evaluation.write_json(tmp_path / "result.json")
        result = json.loads((tmp_path / "result.json").read_text())
        ranks = {"r1", "r5", "r10", "median_rank", "mean_rank"}
        assert set(result["image_to_text"]) == set(result["text_to_image"]) == ranks
        assert {"probe_accuracy", "centroid_gap"} <= set(result["invariance"])
        assert result["rsum"] == pytest.approx(evaluation.rsum)
        assert (tmp_path / "page.html").stat().st_size > 10_000

    def test_embeddings_are_unit_vectors_of_files_and_sentences(self, run, table):
        embeddings = embed(run.path, table, split="dev", quiet=True)
        assert embeddings.images.shape == (12, 16)
        assert embeddings.captions.shape == (24, 16)
        np.testing.assert_allclose(np.linalg.norm(embeddings.images, axis=1), 1, atol=1e-6)

    def test_a_part_of_the_embeddings_is_measured_by_itself(self, run, table):
        images, captions, rows = embed(run.path, table, split="dev", quiet=True)
        part = evaluate(run.path, table, dimensions=3, quiet=True)
        assert part.rsum == evaluate_embeddings(images[:, :3], captions[:, :3], rows).rsum
        assert part.corrected is not None
        with pytest.raises(MiteError, match="Embeddings have 16 dimensions; 17 were asked for"):
            evaluate(run.path, table, dimensions=17, quiet=True)

    def test_errors_say_what_to_do(self, run, table, tmp_path):
        with pytest.raises(MiteError, match="either a text or an image"):
            search(run.path, table, quiet=True)
        with pytest.raises(MiteError, match="is empty"):
            search(run.path, table, " ", quiet=True)
        with pytest.raises(MiteError, match="no such image file"):
            search(run.path, table, image=tmp_path / "none.png", quiet=True)
        (tmp_path / "text.png").write_text("no image")
        with pytest.raises(MiteError, match=r"text\.png cannot be decoded: it is not a JPEG"):
            search(run.path, table, image=tmp_path / "text.png", quiet=True)
        with pytest.raises(MiteError, match="no best encoders of a stage 'warm'; there are"):
            evaluate(run.path, table, stage="warm", quiet=True)
        with pytest.raises(MiteError, match="no such run folder"):
            evaluate(tmp_path / "nowhere", table, quiet=True)


class TestResume:
    def test_a_finished_run_stays_as_it_is(self, run, table):
        before = run.state.read_bytes()
        train(table, run.path, resume=True, quiet=True)
        assert run.state.read_bytes() == before

    def test_ctrl_c_in_mid_epoch_ends_with_the_same_weights(
        self, run, table, tmp_path, make_config
    ):
        again = {"feature_cache": run.path / "features", "quiet": True}
        with pytest.raises(KeyboardInterrupt):
            train(table, tmp_path / "run", config=make_config(), callbacks=[CtrlC(6, 1)], **again)
        state = read_values(Run(tmp_path / "run").state)
        assert (state["epoch"], state["step"]) == (6, 2)
        resumed = train(table, tmp_path / "run", resume=True, **again)
        assert_same_state(resumed, run)
        assert_same_history(resumed, run)

    @pytest.mark.slow
    def test_a_kill_in_mid_epoch_ends_with_the_same_weights(
        self, run, table, captions_file, tmp_path, make_config
    ):
        (tmp_path / "config.toml").write_text(make_config().to_toml())
        script = f"""
import os, signal
from mite_tf.training import StageSchedule
from mite_tf.runs import train
original = StageSchedule.on_train_batch_begin
count = 0
def die(self, *arguments, **named):
    global count
    count += 1
    if count == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    original(self, *arguments, **named)
StageSchedule.on_train_batch_begin = die
train({str(captions_file)!r}, {str(tmp_path / "run")!r}, root={str(table.root)!r},
      config={str(tmp_path / "config.toml")!r}, quiet=True)
"""
        killed = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        resumed = train(captions_file, tmp_path / "run", root=table.root, resume=True, quiet=True)
        assert_same_state(resumed, run)
        assert_same_history(resumed, run)

    def test_other_data_or_configuration_is_refused(self, run, table, make_config):
        fewer = CaptionedImages(table.rows[3:], root=table.root)
        with pytest.raises(MiteError, match="other data"):
            train(fewer, run.path, resume=True, quiet=True)
        with pytest.raises(MiteError, match="another configuration"):
            train(table, run.path, config="flickr8k", resume=True, quiet=True)

    def test_an_existing_folder_is_never_overwritten(self, run, table, tmp_path):
        with pytest.raises(MiteError, match=r"holds a run already.*resume=True \(--resume\)"):
            train(table, run.path, quiet=True)
        (tmp_path / "photo.jpg").touch()
        for resume in (False, True):
            with pytest.raises(MiteError, match="is not empty"):
                train(table, tmp_path, resume=resume, quiet=True)

    def test_a_damaged_state_is_named(self, run, tmp_path, make_config):
        path = tmp_path / "state.npz"
        path.write_bytes(run.state.read_bytes()[:5000])
        model = build_model(make_config(), 20)
        checkpoint = Checkpoint(
            path, model, further_variables=[], values=dict, save_minutes=1, interruption=None
        )
        with pytest.raises(MiteError, match=r"state\.npz: not a readable training state"):
            checkpoint.restore()


def test_features_that_are_known_are_not_computed_again(run, table, tmp_path, monkeypatch):
    dev, encoders = table.split("dev"), run.encoders()
    backbone = encoders.image_encoder.backbone
    FeatureCache(tmp_path, backbone, encoders.preprocessing).features(dev.paths)
    computed = embed(run.path, dev, quiet=True)
    monkeypatch.delattr(Encoders, "embed_images")
    known = embed(run.path, dev, feature_cache=tmp_path, quiet=True)
    np.testing.assert_allclose(known.images, computed.images, atol=2e-3)  # features are of float16
    np.testing.assert_array_equal(known.captions, computed.captions)
    with pytest.raises(AttributeError, match="embed_images"):
        embed(run.path, table, feature_cache=tmp_path, quiet=True)  # other images


def test_encoders_survive_a_round_trip_and_take_empty_sentences(run, table, tmp_path):
    encoders = run.encoders()
    assert np.isfinite(encoders.embed_text(["", "🙂", "a red square"])).all()
    encoders.save(tmp_path / "copy")
    copy = Encoders.load(tmp_path / "copy")
    dev = table.split("dev")
    for ours, theirs in zip(encoders.embed(dev), copy.embed(dev), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert copy.embed_text([]).shape == (0, 16)
    assert copy.embed_images([]).shape == (0, 16)
