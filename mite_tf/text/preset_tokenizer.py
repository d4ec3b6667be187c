"""The tokenizer of a pretrained text network of KerasHub, as a layer of this package."""

from __future__ import annotations

import re
import string
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import tensorflow as tf
import tensorflow_text
from tokenizers import normalizers

from mite_tf.errors import MiteError
from mite_tf.preset_loading import load_tokenizer
from mite_tf.presets import loading_preset, settings_of
from mite_tf.text.bert_tokenizer import BertTokenizer
from mite_tf.text.byte_pair_tokenizer import BytePairTokenizer
from mite_tf.text.sentence_piece_tokenizer import SPACE, Rules, SentencePieceTokenizer, exact
from mite_tf.text.tokenizer import PADDING, TextTokenizer
from mite_tf.text.words import characters

# Byte-pair tokenizers of KerasHub that cut words as GPT-2 does.
_LIKE_GPT2 = ("RobertaTokenizer", "BartTokenizer", "GPT2Tokenizer", "OPTTokenizer")
# For private use: they stand for characters that a normal form would change.
_STAND_INS = range(0xF0100, 0xF0200)
_NONE = "\U000f0200"  # such a one for what no vocabulary knows


def load_text_tokenizer(preset: str, max_length: int = 48, *, size: int = 0) -> TextTokenizer:
    """Loads the tokenizer of a pretrained text network by KerasHub.

    Of a WordPiece vocabulary, ids are those of the network. Of SentencePiece and byte pairs they
    are those plus 1, so that 0 is padding alone; see `mite_tf.models.TextBackbone`.

    Accents are dropped as the `tokenizer_config.json` of a BERT says; else where case is
    folded, as BERT does. SigLIP drops capital letters and punctuation of ASCII, as in KerasHub.

    Args:
        preset: As for `mite_tf.models.load_text_backbone`.
        max_length: Largest number of ids of a text.
        size: Number of ids that the backbone knows, of which a vocabulary may leave the last
            unused.

    Raises:
        MiteError: If it cannot be loaded, or is of a kind that cannot be exported.

    Example:
        >>> load_text_tokenizer("minilm-of-the-moon")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: minilm-of-the-moon: KerasHub cannot load this as a text ...
    """
    with loading_preset(preset) as keras_hub:
        kinds = keras_hub.tokenizers
        found = load_tokenizer(preset)
        said = settings_of(preset, "tokenizer_config.json")
    try:
        if isinstance(found, kinds.WordPieceTokenizer):
            return _bert(found, max_length, size, said.get("strip_accents"))
        if isinstance(found, kinds.SentencePieceTokenizer):
            simple = _simple if isinstance(found, kinds.SigLIPTokenizer) else str
            return _sentence_pieces(found, max_length, size, simple)
        if isinstance(found, (kinds.CLIPTokenizer, *(getattr(kinds, e) for e in _LIKE_GPT2))):
            suffix = "</w>" if isinstance(found, kinds.CLIPTokenizer) else ""
            return _byte_pairs(found, max_length, size, suffix)
    except ValueError as error:
        raise MiteError(f"{preset}: {error}") from error
    raise MiteError(
        f"{preset}: its tokenizer is a {type(found).__name__}, which cuts words by rules of its "
        "own and cannot be exported. Name a network with the tokenizer of BERT, RoBERTa, CLIP, "
        "XLM-RoBERTa or SigLIP, and what was made of them."
    )


def _bert(found: Any, max_length: int, size: int, strip: bool | None) -> BertTokenizer:
    return BertTokenizer(
        _entries(found.get_vocabulary(), size),
        max_length,
        lower_case=found.lowercase,
        strip_accents=found.lowercase if strip is None else bool(strip),
    )


def _byte_pairs(found: Any, max_length: int, size: int, suffix: str) -> BytePairTokenizer:
    names = {number: entry for entry, number in found.vocabulary.items()}
    entries = [names.get(number, "") for number in range(max(names, default=-1) + 1)]
    vocabulary = _entries([PADDING, *entries], size)
    merges = [each for each in found.merges if each and not each.startswith("#version")]
    # As Hugging Face has it; only a vocabulary without some bytes needs it.
    unknown = "<unk>" if "<unk>" in vocabulary else found.end_token
    return BytePairTokenizer(
        vocabulary,
        merges,
        max_length,
        ends=_ends(found),
        unknown=unknown,
        suffix=suffix,
        left_out="".join(sorted(_differing("NFC") | _differing("Lowercase"))) if suffix else "",
    )


def _sentence_pieces(
    found: Any, max_length: int, size: int, simple: Callable[[str], str]
) -> SentencePieceTokenizer:
    """Reads a SentencePiece model; `simple` is what becomes of a character before all else."""
    from sentencepiece import SentencePieceNormalizer, sentencepiece_model_pb2

    proto: Any = sentencepiece_model_pb2  # whose classes are made when it is imported
    model = proto.ModelProto.FromString(found.proto)
    kinds = model.SentencePiece
    usual, symbols = (
        {each.piece: each.score for each in model.pieces if each.type == kind}
        for kind in (kinds.NORMAL, kinds.USER_DEFINED)
    )
    _check(model, [*usual, *symbols])
    vocabulary = _entries([PADDING, *found.get_vocabulary()], size)
    scores = dict(zip(usual, exact([*usual.values()]), strict=True)) | dict.fromkeys(symbols, 0.0)
    normalizer = SentencePieceNormalizer(
        model_proto=found.proto,
        add_dummy_prefix=False,
        escape_whitespaces=False,
        remove_extra_whitespaces=False,
    )
    form = next(
        (form for form, text in (("NFKC", "\ufb01"), ("NFC", "e\u0301"))
         if len(normalizer.normalize(text)) != len(text)),
        "",
    )  # fmt: skip
    simplified = normalizer.normalize([simple(each) for each in characters()])
    wanted = [re.sub("[\t-\r]", " ", each) for each in simplified]
    before, after = _rules(wanted, form, set("".join(scores)))
    [unknown] = [each.piece for each in model.pieces if each.type == kinds.UNKNOWN]
    return SentencePieceTokenizer(
        vocabulary,
        [scores.get(each) for each in vocabulary],
        max_length,
        ends=_ends(found),
        unknown=unknown,
        form=form,
        before=before,
        after=after,
        symbols=[*symbols],
        prefix=model.normalizer_spec.add_dummy_prefix,
    )


def _check(model: Any, pieces: Sequence[str]) -> None:
    trainer = model.trainer_spec
    for wrong, why in (
        (trainer.model_type != trainer.UNIGRAM, "is no unigram model"),
        (trainer.byte_fallback, "cuts unknown characters into bytes"),
        (trainer.treat_whitespace_as_suffix, "puts spaces behind words"),
        (not model.normalizer_spec.escape_whitespaces, "keeps spaces as they are"),
        (any(SPACE in piece[1:] for piece in pieces), "has pieces that go on across a space"),
    ):
        if wrong:
            raise ValueError(
                f"its SentencePiece vocabulary {why}, which is not supported. Name a network with "
                "a vocabulary like that of XLM-RoBERTa or SigLIP."
            )


def _rules(wanted: Sequence[str], form: str, known: set[str]) -> tuple[Rules, Rules]:
    """Returns what is to be done before and after a normal form to make characters as wanted.

    One that a vocabulary knows, and its own rules leave alone, gets a stand-in that the form leaves
    alone, too: SentencePiece keeps ～, which Japanese uses otherwise than ~. Of some hundred, which
    are new, TensorFlow and `tokenizers` make different things: they are unknown.
    """
    differing = _differing(form)
    rules, kept = defaultdict(list), []
    for character, text, normal in zip(
        characters(), wanted, _in_graph(characters(), form), strict=True
    ):
        if character in differing and character not in known:
            rules[_NONE].append(character)
        elif text != normal:
            if text != character:
                rules[text].append(character)
            elif character in known:
                kept.append(character)
    # What another rule would go on with is made last.
    taken = {character for members in rules.values() for character in members}
    order = sorted(rules, key=lambda text: (not taken.isdisjoint(text), text))
    before = [["".join(rules[text]), text] for text in order]
    if not kept:
        return before, []
    stand_ins = [chr(each) for each, _ in zip(_STAND_INS, kept, strict=False)]
    away = [["".join(stand_ins), _NONE]]
    before = [*away, *map(list, zip(kept, stand_ins, strict=False)), *before]
    return before, [list(each) for each in zip(stand_ins, kept, strict=False)]


@cache
def _differing(form: str) -> frozenset[str]:
    """Characters that are new to the Unicode of TensorFlow or that of `tokenizers`.

    Of them a normal form of both makes different things, alone or beside marks that they may pass.
    """
    if not form:
        return frozenset()
    texts = [f"{each} \u0345{each} {each}\u0334" for each in characters()]
    normal = getattr(normalizers, form)()
    # All at a time is much faster; a line is changed by none of its neighbours.
    theirs = normal.normalize_str("\0".join(texts[1:])).split("\0")
    pairs = zip(characters()[1:], _in_graph(texts[1:], form), theirs, strict=True)
    return frozenset(character for character, ours, their in pairs if ours != their)


def _in_graph(texts: Sequence[str], form: str) -> list[str]:
    if not form:
        return list(texts)
    if form == "Lowercase":
        found = tf.strings.lower(texts, encoding="utf-8")
    else:
        found = tensorflow_text.normalize_utf8(texts, form)
    return [each.decode() for each in found.numpy()]


def _entries(entries: Sequence[str], size: int) -> list[str]:
    """Returns entries of which none is empty, and each stands where it stood last."""
    numbers = {entry: number for number, entry in enumerate(entries)}
    # No text is cut into space alone, nor into what stands once more further on; 0 is padding.
    numbers[entries[0]] = 0
    return [
        entry
        if entry.strip() and "\n" not in entry and numbers[entry] == number
        else f"[spare{number}]"
        for number, entry in enumerate(entries)
    ] + [f"[spare{number}]" for number in range(len(entries), size)]


def _ends(found: Any) -> tuple[str, str]:
    """Returns what stands before and behind a text; the end of a T5 is called its start as well."""
    start, end = (getattr(found, f"{each}_token", None) or "" for each in ("start", "end"))
    return ("" if start == end else start), end


def _simple(character: str) -> str:
    """Returns what SigLIP makes of a character before it looks at pieces."""
    return (
        ""
        if character in string.punctuation
        else character.lower()
        if character.isascii()
        else character
    )
