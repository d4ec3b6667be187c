"""`tokenizer.json`: the tokenizer of the graph, in the format of Hugging Face `tokenizers`.

For word pieces, after a decomposition (NFD) the graph maps every character by itself, and a second
one puts the marks into order; that of a BERT has the first alone, or none. No ready-made normalizer
maps the same to the last character, so the rules are read off the graph's own operations, code
point by code point, and written as plain character classes: these depend on no version of Unicode
and mean the same to every language that reads them. Layers of SentencePiece and byte pairs name the
characters themselves that are not to reach a normal form, but kinds of characters are read off.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import tensorflow as tf
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from mite_tf.errors import MiteError
from mite_tf.text import PADDING, UNKNOWN, TextTokenizer, WordPieceTokenizer
from mite_tf.text.bert_tokenizer import BertTokenizer
from mite_tf.text.byte_pair_tokenizer import LONGEST as LONGEST_PAIRS
from mite_tf.text.byte_pair_tokenizer import SPACES, BytePairTokenizer, words_pattern
from mite_tf.text.sentence_piece_tokenizer import LONGEST as LONGEST_PIECES
from mite_tf.text.sentence_piece_tokenizer import SPACE, SentencePieceTokenizer
from mite_tf.text.words import FLAGS, character_class, characters, one_of

_SUFFIX = "##"
_LAYERS = {layer.kind: layer for layer in (WordPieceTokenizer, BertTokenizer)}


def tokenizer_json(tokenizer: TextTokenizer) -> Tokenizer:
    """Builds the tokenizer that gives the same ids as the graph; `save(path)` writes the file.

    It cuts at `max_length` ids and pads with 0 to the longest of a batch.

    Example:
        >>> layer = WordPieceTokenizer(["[PAD]", "[UNK]", "a", "dog", "run", "##s"])
        >>> tokenizer_json(layer).encode("A DOG, runs").ids
        [2, 3, 1, 4, 5]
    """
    build: dict[type, Callable[[Any], Tokenizer]] = {
        SentencePieceTokenizer: _of_sentence_pieces,
        BytePairTokenizer: _of_byte_pairs,
    }
    result = build.get(type(tokenizer), _of_words)(tokenizer)
    template = [each for each in (tokenizer.ends[0], "$0", tokenizer.ends[1]) if each]
    if len(template) > 1:
        result.post_processor = processors.TemplateProcessing(
            single=template,
            special_tokens=[
                (each, tokenizer.vocabulary.index(each)) for each in {*tokenizer.ends} - {""}
            ],
        )
    result.enable_truncation(tokenizer.max_length)
    result.enable_padding(pad_id=0, pad_token=PADDING)
    return result


def _of_words(tokenizer: WordPieceTokenizer) -> Tokenizer:
    of_bert = isinstance(tokenizer, BertTokenizer)
    kinds = _kinds(tokenizer.kind)
    mapped = _normalized(tokenizer.kind, tokenizer.lower_case, tokenizer.strip_accents)
    known = {c for entry in tokenizer.vocabulary for c in entry.removeprefix(_SUFFIX) or entry}
    known -= mapped.keys()  # the graph never gets to see these
    of_words = map(chr, range(0x250, 0x1400))
    unknown_word, unknown_alone = (
        next(c for c in some if c not in known | mapped.keys() | kinds["mark"] and c in kinds[kind])
        for some, kind in ((of_words, "letter"), (sorted(kinds["alone"]), "alone"))
    )

    def as_looked_up(text: str) -> str:
        """All that the vocabulary tells apart in a normalised text; marks have an order, too."""
        return "".join(
            " " if c in kinds["space"]
            else c if c in known or c in kinds["mark"]
            else unknown_alone if c in kinds["alone"]
            else unknown_word
            for c in text
        )  # fmt: skip

    decompose = [] if of_bert and not tokenizer.strip_accents else [normalizers.NFD()]
    rules = defaultdict(list)
    for character, text in mapped.items():
        if all(each.normalize_str(character) == character for each in decompose):  # else not seen
            rules[as_looked_up(text)].append(character)
    rules[" "] += kinds["space"] - mapped.keys()
    replacements = [normalizers.Replace(_one_of(rules[text]), text) for text in sorted(rules)]

    result = Tokenizer(
        models.WordPiece(
            {entry: number for number, entry in enumerate(tokenizer.vocabulary)},
            unk_token=UNKNOWN,
            continuing_subword_prefix=_SUFFIX,
            max_input_chars_per_word=tokenizer.longest_word,
        )
    )
    in_order = [] if of_bert else decompose
    result.normalizer = normalizers.Sequence([*decompose, *replacements, *in_order])
    result.pre_tokenizer = pre_tokenizers.Sequence(_cuts(tokenizer, kinds))
    return result


def _cuts(tokenizer: WordPieceTokenizer, kinds: dict[str, set[str]]) -> list[Any]:
    """What cuts a normalised text into words, in order."""
    spaces, alone = pre_tokenizers.WhitespaceSplit(), character_class(kinds["alone"])
    if isinstance(tokenizer, BertTokenizer):
        return [spaces, pre_tokenizers.Split(Regex(alone), "isolated")]
    marks, flags = (
        character_class(kinds["mark"]),
        character_class(map(chr, range(FLAGS[0], FLAGS[1] + 1))),
    )
    return [
        spaces,
        pre_tokenizers.Split(Regex(f"^{marks}+"), "removed"),
        pre_tokenizers.Split(Regex(f"(?:{flags}{{2}}|{alone}){marks}*"), "isolated"),
        pre_tokenizers.Split(Regex(f".{{1,{tokenizer.longest_word}}}"), "isolated"),
    ]


def _of_sentence_pieces(tokenizer: SentencePieceTokenizer) -> Tokenizer:
    pairs = list(zip(tokenizer.vocabulary, tokenizer.scores, strict=True))
    unknown = tokenizer.vocabulary.index(tokenizer.unknown)
    result = Tokenizer(
        models.Unigram([(entry, score or 0.0) for entry, score in pairs], unk_id=unknown)
    )
    form = [getattr(normalizers, tokenizer.form)()] if tokenizer.form else []
    result.normalizer = normalizers.Sequence(
        [
            *(normalizers.Replace(_one_of(some), text) for some, text in tokenizer.before),
            *form,
            *(normalizers.Replace(_one_of(some), text) for some, text in tokenizer.after),
            normalizers.Replace(Regex(tokenizer.reserved), " "),
            normalizers.Replace(Regex(" +"), " "),
            normalizers.Replace(Regex("^ | $"), ""),
            normalizers.Replace(" ", f" {SPACE}"),
            *([normalizers.Prepend(SPACE)] if tokenizer.prefix else []),
        ]
    )
    symbols = tokenizer.symbols
    result.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(" ", "removed"),
            *([pre_tokenizers.Split(Regex(one_of(symbols)), "isolated")] if symbols else []),
            pre_tokenizers.Split(Regex(f"[^ ]{{1,{LONGEST_PIECES}}}"), "isolated"),
        ]
    )
    return result


def _of_byte_pairs(tokenizer: BytePairTokenizer) -> Tokenizer:
    suffix = tokenizer.suffix
    result = Tokenizer(
        models.BPE(
            {entry: number for number, entry in enumerate(tokenizer.vocabulary)},
            [(first, second) for first, _, second in (m.partition(" ") for m in tokenizer.merges)],
            **({"unk_token": tokenizer.unknown} if tokenizer.unknown else {}),
            **({"end_of_word_suffix": suffix} if suffix else {}),
        )
    )
    letters, numbers = (character_class(members)[1:-1] for members in _letters_and_numbers())
    clean = [normalizers.Replace(Regex(SPACES), " "), normalizers.Replace(Regex("^ | $"), "")]
    forms = [
        normalizers.Replace(_one_of(f"\0{tokenizer.left_out}"), ""),
        normalizers.NFC(),
        normalizers.Replace("Σ", "σ"),
        normalizers.Lowercase(),
    ]
    result.normalizer = normalizers.Sequence([*(forms if suffix else []), *clean])
    words = pre_tokenizers.Split(Regex(words_pattern(bool(suffix), letters, numbers)), "isolated")
    result.pre_tokenizer = pre_tokenizers.Sequence(
        [
            words,
            *([pre_tokenizers.Split(" ", "removed")] if suffix else []),
            pre_tokenizers.Split(Regex(f"[^\\n]{{1,{LONGEST_PAIRS}}}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return result


def check_ids(path: str | Path, tokenizer: TextTokenizer, captions: Sequence[str]) -> None:
    """Compares a `tokenizer.json` with the graph, on captions.

    Raises:
        MiteError: If a caption gets other ids; the first such caption is named.
    """
    written = Tokenizer.from_file(str(path))
    written.no_padding()
    found = written.encode_batch(list(captions))
    for caption, ids, encoding in zip(captions, tokenizer.table(captions).ids, found, strict=True):
        if ids[: len(encoding.ids)].tolist() != encoding.ids or ids[len(encoding.ids) :].any():
            raise MiteError(
                f"{path}: gives {encoding.ids} where the graph gives {ids[ids > 0].tolist()}, for "
                f"the caption {caption!r}."
            )


@cache
def _normalized(kind: str, lower_case: bool, strip_accents: bool) -> dict[str, str]:
    """What the graph makes of each character that it does not leave as it is."""
    results = _LAYERS[kind].normalize(characters(), lower_case, strip_accents).numpy()
    pairs = zip(characters(), map(bytes.decode, results), strict=True)
    return {character: text for character, text in pairs if text != character}


@cache
def _kinds(kind: str) -> dict[str, set[str]]:
    """Characters by what the graph does with one between letters; marks also behind a stop."""
    kinds: dict[str, set[str]] = {name: set() for name in ("letter", "space", "alone", "mark")}
    alone = sorted(set(characters()) - _normalized(kind, False, False).keys())
    between, behind = (
        _LAYERS[kind].split([f"{before}{c}a" for c in alone], False, False) for before in "a."
    )
    for character, count in zip(alone, between.row_lengths().numpy(), strict=True):
        kinds[list(kinds)[count - 1]].add(character)
    firsts = behind.to_tensor()[:, 0].numpy()
    kinds["mark"] |= {c for c, first in zip(alone, firsts, strict=True) if first != b"."}
    return kinds


@cache
def _letters_and_numbers() -> tuple[list[str], list[str]]:
    """Characters that the graph takes for letters and for numbers."""
    letters, numbers = (
        tf.strings.regex_full_match(characters(), kind).numpy() for kind in (r"\p{L}", r"\p{N}")
    )
    return (
        [each for each, found in zip(characters(), letters, strict=True) if found],
        [each for each, found in zip(characters(), numbers, strict=True) if found],
    )


def _one_of(characters: Iterable[str]) -> Regex:
    return Regex(character_class(characters))
