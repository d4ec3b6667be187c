"""Image networks of KerasHub of a few kilobytes with random weights, as folders of presets."""

import io
import json

import keras
import numpy as np

SIZE = 32
SCALE, OFFSET = [0.02, 0.01, 0.015], [-2.0, -1.0, -1.5]


def tiny_network(kind, **of_texts):
    """Builds a network for pictures of `SIZE`, none of whose weights is left at zero."""
    import keras_hub

    models, shape = keras_hub.models, (SIZE, SIZE, 3)
    vision = {
        "patch_size": 8, "hidden_dim": 8, "num_layers": 1, "num_heads": 2, "intermediate_dim": 16,
        "image_shape": shape,
    }  # fmt: skip
    text = {
        "vocabulary_size": 40, "embedding_dim": 8, "hidden_dim": 8, "num_layers": 1,
        "num_heads": 2, "intermediate_dim": 16, "max_sequence_length": 12, **of_texts,
    }  # fmt: skip
    if kind == "vit":
        network = models.ViTBackbone(
            image_shape=shape, patch_size=8, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16
        )
    elif kind == "dinov2":
        network = models.DINOV2Backbone(
            **vision, num_register_tokens=2, position_embedding_shape=(48, 48, 3)
        )
    elif kind == "swin":
        network = models.SwinTransformerBackbone(
            image_shape=shape, patch_size=2, embed_dim=8, depths=(1, 1), num_heads=(2, 2),
            window_size=4,
        )  # fmt: skip
    elif kind == "dinov3":
        network = models.DINOV3Backbone(**vision)
    elif kind == "siglip":
        network = models.SigLIPBackbone(
            models.SigLIPVisionEncoder(**vision), models.SigLIPTextEncoder(**text)
        )
    elif kind == "clip":
        network = models.CLIPBackbone(
            models.CLIPVisionEncoder(**vision), models.CLIPTextEncoder(**text), projection_dim=6
        )
    else:
        network = models.ResNetBackbone(
            input_conv_filters=[64], input_conv_kernel_sizes=[3], stackwise_num_filters=[64, 64],
            stackwise_num_blocks=[1, 1], stackwise_num_strides=[1, 2],
            block_type="basic_block", image_shape=(None, None, 3),
        )  # fmt: skip
    random = np.random.default_rng(0)
    for weight in network.weights:
        if not np.issubdtype(keras.backend.standardize_dtype(weight.dtype), np.floating):
            continue
        near = 1.0 if weight.name in ("gamma", "moving_variance") else 0.0
        weight.assign(near + random.normal(scale=0.2, size=weight.shape) * (1 - 0.5 * near))
    return network


def write_tiny_vit(folder, **settings):
    """Writes a ViT as a folder of Hugging Face, with `settings` as `preprocessor_config.json`."""
    from safetensors.numpy import save_file

    config = {
        "model_type": "vit", "architectures": ["ViTModel"], "image_size": SIZE, "patch_size": 8,
        "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 8,
        "intermediate_size": 16, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
        "qkv_bias": True,
    }  # fmt: skip
    shapes = {
        "embeddings.patch_embeddings.projection": (8, 3, 8, 8),
        "embeddings.cls_token": (1, 1, 8),
        "embeddings.position_embeddings": (1, 17, 8),
        "layernorm": (8,),
    }
    for name in ("attention.query", "attention.key", "attention.value", "output.dense"):
        shapes[f"encoder.layer.0.attention.{name}"] = (8, 8)
    shapes |= {f"encoder.layer.0.layernorm_{when}": (8,) for when in ("before", "after")}
    shapes |= {
        "encoder.layer.0.intermediate.dense": (16, 8), "encoder.layer.0.output.dense": (8, 16),
    }  # fmt: skip
    random, weights = np.random.default_rng(0), {}
    for name, shape in shapes.items():
        alone = name.startswith("embeddings.") and len(shape) == 3
        weights[f"vit.{name}" if alone else f"vit.{name}.weight"] = random.normal(size=shape)
        if not alone:
            weights[f"vit.{name}.bias"] = random.normal(size=shape[:1])
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    save_file({k: v.astype(np.float32) for k, v in weights.items()}, folder / "model.safetensors")
    return folder


def tiny_tokenizer(kind, captions):
    """Byte pairs as those of CLIP, or the SentencePiece of a SigLIP that has read `captions`."""
    import keras_hub
    import sentencepiece
    from tokenizers import pre_tokenizers

    if kind == "clip":
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        entries = [*letters, *(f"{each}</w>" for each in letters), "re", "red</w>"]
        entries += ["<|startoftext|>", "<|endoftext|>"]
        vocabulary = {entry: number for number, entry in enumerate(entries)}
        return keras_hub.models.CLIPTokenizer(vocabulary, ["r e", "re d</w>"])
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(captions), model_writer=model, vocab_size=60, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    return keras_hub.models.SigLIPTokenizer(model.getvalue())


def write_tiny_hub(folder, kind, *, interpolation="bicubic", licence="apache-2.0", captions=()):
    """Writes a folder as `save_to_preset` does, with an image converter and a page on top.

    With captions it has a tokenizer, too.
    """
    import keras_hub

    if captions:
        tokenizer = tiny_tokenizer(kind, captions)
        network = tiny_network(kind, vocabulary_size=tokenizer.vocabulary_size())
        tokenizer.save_to_preset(folder)
    else:
        network = tiny_network(kind)
    network.save_to_preset(folder)
    name = type(network).__name__.replace("Backbone", "ImageConverter")
    getattr(keras_hub.layers, name)(
        image_size=(SIZE, SIZE), scale=SCALE, offset=OFFSET, interpolation=interpolation
    ).save_to_preset(folder)
    if licence:
        (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n# A network\n")
    return folder
