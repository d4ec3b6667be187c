"""The folder that a study grows in."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mite_tf.data import CaptionedImages, Unpaired
from mite_tf.errors import MiteError
from mite_tf.files import is_hidden, write_text
from mite_tf.reading import read_object, reading
from mite_tf.recognition import recognize, wrong_kind
from mite_tf.runs import Config, Run, load_config
from mite_tf.runs.records import Record, Strict, check
from mite_tf.studies.measurement import Measurement
from mite_tf.studies.variants import Variant

_ADVICE = "Bring it back from a copy, or name another folder."


class _Variant(Strict):
    overrides: dict[str, Any]
    adversary: bool = True
    weight_factor: float = 1.0


class _Study(Record):
    variants: dict[str, _Variant]


class StudyFolder:
    """Runs, measurements and report of a study.

    | file | what it holds |
    | --- | --- |
    | `study.html`, `study.md`, `study.json` | the report, for a browser, a document, a program |
    | `plots/` | its figures |
    | `config.toml` | the configuration that the variants change, complete |
    | `runs/VARIANT/seed-K/` | an ordinary run folder |
    | `shared/HASH/seed-K/` | a run through the first stages, which several variants begin with |
    | `measured/SPLIT/VARIANT/seed-K/` | measures after each stage, with embeddings and ranks |
    | `features/` | backbone features that all runs share; may be deleted |
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def record(self) -> dict[str, Any]:
        """What `study.json` holds; empty before the study."""
        path, what = self.path / "study.json", "the record of a study"
        if not path.exists():
            return {}
        values = read_object(path, what, _ADVICE)
        with reading(path, what, _ADVICE):
            check(_Study, values)
        return values

    @property
    def config_file(self) -> Path:
        """File of the configuration that the variants change."""
        return self.path / "config.toml"

    @property
    def config(self) -> Config:
        """The configuration that the variants change."""
        return load_config(self.config_file)

    @property
    def variants(self) -> list[Variant]:
        """All variants of the study so far, in the order in which they were added."""
        return [Variant(name, **rest) for name, rest in self.record.get("variants", {}).items()]

    def run(self, variant: str, seed: int) -> Run:
        """Returns the run of a variant with a seed, whether it is there or not."""
        return Run(self.path / "runs" / variant / f"seed-{seed}")

    def shared(self, config: Config) -> Run:
        """Returns the run through first stages that several variants begin with."""
        seed = config.training.seed
        anyone = replace(config, training=replace(config.training, seed=0))
        name = hashlib.sha256(anyone.to_toml().encode()).hexdigest()[:12]
        return Run(self.path / "shared" / name / f"seed-{seed}")

    def measured(self, split: str, variant: str, seed: int) -> Path:
        """Returns the folder of a run's measurements."""
        return self.path / "measured" / split / variant / f"seed-{seed}"

    def measurements(self, split: str) -> list[Measurement]:
        """Reads all measurements on a split, variant after variant, seeds and stages in order."""
        found = []
        for variant in self.variants:
            files = self.measured(split, variant.name, 0).parent.glob("seed-*/*.json")
            found += sorted(map(Measurement.load, files), key=lambda m: (m.seed, m.epoch))
        return found

    def warnings(self) -> dict[tuple[str, int], list[str]]:
        """Reads the warnings of the guard, by variant and seed, of runs that have any."""
        found = {}
        for variant in self.variants:
            for path in sorted((self.path / "runs" / variant.name).glob("seed-*")):
                run = Run(path)
                if sentences := run.warnings().splitlines():
                    found[variant.name, run.config.training.seed] = sentences
        return found

    def check(self) -> None:
        """Refuses a folder that holds something else than a study.

        Raises:
            MiteError: If it does.
        """
        if self.path.exists() and not self.path.is_dir():
            raise wrong_kind(self.path, "no place for a study", "Name another folder.")
        there = {path.name for path in self.path.iterdir()} if self.path.exists() else set()
        there = {name for name in there if not is_hidden(name)}
        if not self.record and there - {self.config_file.name}:  # which is written first
            what = recognize(self.path).what
            raise MiteError(
                f"{self.path}: is not empty and holds no study: it is {what}. Name another folder."
            )

    def open(
        self,
        config: Config,
        variants: Sequence[Variant],
        table: CaptionedImages,
        unpaired: Unpaired,
    ) -> None:
        """Starts the study, or lets it grow by further variants.

        The seed of the configuration does not count.

        Raises:
            MiteError: If the folder holds a study of another configuration or other data, or a
                variant of the same name is another one.
        """
        config = replace(config, training=replace(config.training, seed=0))
        record = self.record
        data = {"fingerprint": table.fingerprint(), "images": table.splits}
        if unpaired != Unpaired():
            data["unpaired_fingerprint"] = unpaired.fingerprint()
        if record and self.config != config:
            raise MiteError(
                f"{self.path}: is a study of another configuration ({self.config_file}). "
                "Go on with that one, or name another folder."
            )
        if record and record["data"] != data:
            told = f"other data (images {record['data']['images']}, now {table.splits})"
            if record["data"]["fingerprint"] == data["fingerprint"]:
                told = "other unpaired data"
            raise MiteError(
                f"{self.path}: is a study of {told}. Go on with that data, or name another folder."
            )
        known = {variant.name: variant for variant in self.variants}
        for variant in variants:
            if known.setdefault(variant.name, variant) != variant:
                raise MiteError(
                    f"{self.path}: its variant {variant.name!r} is another one: "
                    f"{known[variant.name]}. Give yours another name, or name another folder."
                )
        if not record:
            self._write_config(config.to_toml())
        rest = {name: asdict(variant) for name, variant in known.items()}
        for values in rest.values():
            del values["name"]
        self.write({"data": data, "variants": rest})

    def _write_config(self, text: str) -> None:
        if self.config_file.exists():  # of a study that was killed, or anybody's
            with reading(self.config_file, "the configuration of a study", _ADVICE):
                if self.config_file.read_bytes() != text.encode():
                    raise ValueError("it is another one, and would be replaced")
        write_text(self.config_file, text)

    def take_back(self) -> None:
        """Removes what a study without a single training has written, and nothing else."""
        for name in ("runs", "shared", "features"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in ("study.json", self.config_file.name):
            (self.path / name).unlink(missing_ok=True)

    def write(self, values: dict[str, Any]) -> None:
        """Replaces entries of `study.json`."""
        text = json.dumps(self.record | values, indent=2, ensure_ascii=False, allow_nan=False)
        write_text(self.path / "study.json", f"{text}\n")
