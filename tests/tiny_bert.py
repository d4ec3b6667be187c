"""A BERT of a few kilobytes with random weights, as a folder of Hugging Face."""

import json

import numpy as np

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_tiny_bert(folder, words, *, size=8, layers=1, lower_case=True, positions=64, **settings):
    """Writes `config.json`, `tokenizer_config.json`, `vocab.txt` and `model.safetensors`."""
    from safetensors.numpy import save_file

    vocabulary = [*SPECIAL, *dict.fromkeys(words)]
    folder.mkdir(parents=True)
    wide = 2 * size
    config = {
        "model_type": "bert", "architectures": ["BertModel"], "vocab_size": len(vocabulary),
        "num_hidden_layers": layers, "num_attention_heads": 2, "hidden_size": size,
        "intermediate_size": wide, "max_position_embeddings": positions, "type_vocab_size": 2,
    }  # fmt: skip
    of_tokenizer = {"tokenizer_class": "BertTokenizer", "do_lower_case": lower_case, **settings}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps(of_tokenizer))
    (folder / "vocab.txt").write_text("".join(f"{each}\n" for each in vocabulary), "utf-8")
    shapes = {
        "embeddings.word_embeddings.weight": (len(vocabulary), size),
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
    return folder
