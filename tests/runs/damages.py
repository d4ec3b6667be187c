"""What may happen to a file of a run, by kind: its content before to its content after."""

import io
import json
import os
import pickle

import numpy as np


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def with_values(content, **changed):
    """A state with other plain values."""
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in file.files}
    values = json.loads(str(arrays.pop("values"))) | changed
    return npz(values=np.array(json.dumps(values)), **arrays)


def with_setting(content, section, **changed):
    values = json.loads(content)
    return json.dumps(values | {section: values[section] | changed}).encode()


class Trap:
    """What unpickling would run."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


KINDS = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "noise": lambda content: np.random.default_rng(0).bytes(2000),
    "no UTF-8": lambda content: b"\xff\xfe" + content,
    "a list": lambda content: b"[1, 2]",
    "another archive": lambda content: npz(other=np.zeros(3)),
    "pickled": lambda content: npz(values=np.array([Trap()], object)),
    "one pickle": lambda content: pickle.dumps(Trap()),
    "flipped": lambda content: content[:-300] + bytes(255 - byte for byte in content[-300:]),
}
OWN_KINDS = {
    "checkpoint/state.npz": {
        f"{key} = {value!r}": lambda content, key=key, value=value: with_values(
            content, **{key: value}
        )
        for key, value in [
            ("epoch", -1), ("epoch", "x"), ("epoch", float("nan")), ("epoch", 1e300), ("epoch", 99),
            ("step", None), ("ended", "no"), ("history", [1]), ("history", []),
            ("best", {"a": "b"}), ("guard", {}), ("guard", []), ("schedule", {}),
            ("run", "of another"),
        ]
    },
    "run.json": {
        "data = 3": lambda content: b'{"data": 3}',
        "no fingerprint": lambda content: b'{"data": {"images": {}}}',
        "images = -1": lambda content: with_setting(content, "data", images={"train": -1}),
        "source = 1": lambda content: with_setting(content, "data", source=1),
    },
    "best/0002-align/encoders.json": {
        "max_length = x": lambda content: with_setting(content, "tokenizer", max_length="x"),
        "max_length = 1e300": lambda content: with_setting(content, "tokenizer", max_length=1e300),
        "height": lambda content: with_setting(content, "preprocessing", height=100_000),
        "resize": lambda content: with_setting(content, "preprocessing", resize="no such"),
        "range": lambda content: with_setting(content, "preprocessing", value_range=[0, "a"]),
        "no range": lambda content: with_setting(
            content, "preprocessing", value_range=[float("nan"), 255]
        ),
    },
    "config.toml": {
        "stages": lambda content: b"stages = [1, 2]",
        "section": lambda content: b"backbone = 3\n" + content.replace(b"[backbone]", b"[other]"),
        "deep": lambda content: b"a = " + b"[" * 100_000,
    },
}  # fmt: skip
MOST_TELLING = {"half", "epoch = 'x'", "epoch = 99", "data = 3", "height", "stages"}
