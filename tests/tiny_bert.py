"""Text networks of a few kilobytes with random weights, as folders of Hugging Face."""

import json

import numpy as np

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_tiny_bert(folder, words, *, lower_case=True, **settings):
    """Writes `config.json`, `tokenizer_config.json`, `vocab.txt` and `model.safetensors`."""
    of_network = {name: settings.pop(name) for name in ("size", "layers") if name in settings}
    vocabulary = [*SPECIAL, *dict.fromkeys(words)]
    _write_network(folder, "bert", len(vocabulary), **of_network)
    of_tokenizer = {"tokenizer_class": "BertTokenizer", "do_lower_case": lower_case, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(of_tokenizer))
    (folder / "vocab.txt").write_text("".join(f"{each}\n" for each in vocabulary), "utf-8")
    return folder


def write_tiny_xlm_roberta(folder, model):
    """Writes a folder as that of multilingual E5 or BGE, around a SentencePiece model."""
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_proto=model).get_piece_size()
    _write_network(folder, "xlm-roberta", pieces + 2)  # <pad> and <mask> beside
    (folder / "sentencepiece.bpe.model").write_bytes(model)
    return folder


def write_tiny_roberta(folder, vocabulary, merges):
    """Writes a folder as that of RoBERTa, around byte pairs."""
    _write_network(folder, "roberta", len(vocabulary))
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    return folder


def _write_network(folder, kind, entries, size=8, layers=1, positions=64):
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    wide = 2 * size
    config = {
        "model_type": kind, "architectures": [f"{kind}Model"], "vocab_size": entries,
        "num_hidden_layers": layers, "num_attention_heads": 2, "hidden_size": size,
        "intermediate_size": wide, "max_position_embeddings": positions, "type_vocab_size": 2,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {
        "embeddings.word_embeddings.weight": (entries, size),
        "embeddings.position_embeddings.weight": (positions, size),
        "embeddings.token_type_embeddings.weight": (2, size),
        "embeddings.LayerNorm": (size,),
        "pooler.dense": (size, size),
    }
    for number in range(layers):
        layer = f"encoder.layer.{number}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{layer}.attention.{name}"] = (size, size)
        shapes |= {
            f"{layer}.attention.output.LayerNorm": (size,),
            f"{layer}.intermediate.dense": (wide, size),
            f"{layer}.output.dense": (size, wide),
            f"{layer}.output.LayerNorm": (size,),
        }
    random, weights = np.random.default_rng(0), {}
    for name, shape in shapes.items():
        if name.endswith(".weight"):
            weights[name] = random.normal(size=shape)
        else:
            weights[f"{name}.weight"] = random.normal(size=shape) / shape[-1] ** 0.5
            weights[f"{name}.bias"] = random.normal(size=shape[:1])
    save_file({k: v.astype(np.float32) for k, v in weights.items()}, folder / "model.safetensors")
