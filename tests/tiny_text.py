"""Text networks of a few kilobytes with random weights, and vocabularies made for them."""

import io
import itertools
import json
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from mite_tf.text.byte_pair_tokenizer import byte_letters

LINES = [
    "A black dog runs over the snow .",
    "Two children play; one laughs !",
    "Ein großer Hund läuft über die Straße, zwei Kinder spielen im Schnee.",
    "สุนัขวิ่งบนชายหาดที่มีคลื่นลมแรงในตอนเช้า",
    "犬が海辺を走っている。10～20人、ガラスとカラス",
    "كلب يجري على الشاطئ",
    "एक कुत्ता समुद्र तट पर दौड़ रहा है",
    "Một con chó chạy trên bãi biển 개가 해변을 달린다",
]
# Of the captions that runs are tried with.
WORDS = ["a", "red", "green", "blue", "square", "something", "number", *"0123456"]


def sentence_pieces(lines=LINES, size=300, **settings):
    """Trains a SentencePiece model; returns its bytes."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*lines] * 4), model_writer=model, vocab_size=size,
        hard_vocab_limit=False, character_coverage=1.0, num_threads=1, minloglevel=2,
        **{"model_type": "unigram", **settings},
    )  # fmt: skip
    return model.getvalue()


def byte_pairs(suffix="", specials=("<s>", "<pad>", "</s>", "<unk>", "<mask>"), lines=LINES):
    """Returns a vocabulary and merges: of the most frequent words, from left to right."""
    letters = byte_letters()
    merges = {}
    for word in itertools.chain(*(line.lower().split() for line in lines)):
        parts = [letters[byte] for byte in word.encode()]
        parts = [*parts[:-1], parts[-1] + suffix] if suffix else ["Ġ", *parts]
        while len(parts) > 1:
            merges[f"{parts[0]} {parts[1]}"] = parts[0] + parts[1]
            parts = [parts[0] + parts[1], *parts[2:]]
    entries = [*letters, *(f"{each}{suffix}" for each in letters if suffix), *merges.values()]
    entries = [*dict.fromkeys(entries), *specials]
    return {entry: number for number, entry in enumerate(entries)}, list(merges)


def write_tiny_text(folder, tokenizer):
    """Writes a network of KerasHub and its tokenizer, as `save_to_preset` does."""
    import keras_hub

    kind = type(tokenizer).__name__.replace("Tokenizer", "Backbone")
    network = getattr(keras_hub.models, kind)(
        vocabulary_size=tokenizer.vocabulary_size(), num_layers=1, num_heads=2, hidden_dim=8,
        intermediate_dim=16, max_sequence_length=64,
    )  # fmt: skip
    random = np.random.default_rng(0)
    for weight in network.weights:
        if "norm" not in weight.path:
            weight.assign(random.normal(size=weight.shape))
    network.save_to_preset(folder)
    tokenizer.save_to_preset(folder)
    return folder


def write_tokenizer(folder, tokenizer):
    """Writes a tokenizer of KerasHub alone, with what tells its kind."""
    name = type(tokenizer).backbone_cls.__name__
    of_network = {"registered_name": f"keras_hub>{name}", "class_name": name, "config": {}}
    tokenizer.save_to_preset(folder)
    module = type(tokenizer).backbone_cls.__module__
    (folder / "config.json").write_text(json.dumps({"module": module, **of_network}))
    return folder


@cache
def tokenizers_of_kerashub():
    """Returns a tokenizer of KerasHub for each kind that is not of word pieces."""
    import keras_hub

    kinds = keras_hub.tokenizers
    ends = ("<|startoftext|>", "<|endoftext|>")
    return {
        "xlm-roberta": kinds.XLMRobertaTokenizer(sentence_pieces()),
        "siglip": kinds.SigLIPTokenizer(
            sentence_pieces(
                pad_id=1, eos_id=0, unk_id=2, bos_id=-1, user_defined_symbols=["(", "<b>", "(("]
            )
        ),
        "roberta": kinds.RobertaTokenizer(*byte_pairs()),
        "clip": kinds.CLIPTokenizer(*byte_pairs("</w>", ends)),
    }


@cache
def layers():
    """Returns the layer of this package for each of them, of at most 400 ids."""
    from mite_tf.text import load_text_tokenizer

    found = {}
    for kind, tokenizer in tokenizers_of_kerashub().items():
        with tempfile.TemporaryDirectory() as folder:
            found[kind] = load_text_tokenizer(str(write_tokenizer(Path(folder), tokenizer)), 400)
    return found
