"""`tokenizer.json`: the tokenizer of the graph, in the format of Hugging Face `tokenizers`.

After a decomposition (NFD) the graph maps every character by itself, and a second one puts the
marks into order; that of a BERT has the first alone, or none. No ready-made normalizer maps the
same to the last character, so the rules are read off the graph's own operations, code point by code
point, and written as plain character classes: these depend on no version of Unicode and mean the
same to every language that reads them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from mite_tf.errors import MiteError
from mite_tf.text import PADDING, UNKNOWN, WordPieceTokenizer
from mite_tf.text.bert_tokenizer import BertTokenizer
from mite_tf.text.words import FLAGS

_SUFFIX = "##"
_LAYERS = {layer.kind: layer for layer in (WordPieceTokenizer, BertTokenizer)}


def tokenizer_json(tokenizer: WordPieceTokenizer) -> Tokenizer:
    """Builds the tokenizer that gives the same ids as the graph; `save(path)` writes the file.

    It cuts at `max_length` ids and pads with 0 to the longest of a batch.

    Example:
        >>> layer = WordPieceTokenizer(["[PAD]", "[UNK]", "a", "dog", "run", "##s"])
        >>> tokenizer_json(layer).encode("A DOG, runs").ids
        [2, 3, 1, 4, 5]
    """
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
    if tokenizer.ends:
        first, last = tokenizer.ends
        result.post_processor = processors.TemplateProcessing(
            single=f"{first} $0 {last}",
            special_tokens=[(each, tokenizer.vocabulary.index(each)) for each in tokenizer.ends],
        )
    result.enable_truncation(tokenizer.max_length)
    result.enable_padding(pad_id=0, pad_token=PADDING)
    return result


def _cuts(tokenizer: WordPieceTokenizer, kinds: dict[str, set[str]]) -> list[Any]:
    """What cuts a normalised text into words, in order."""
    spaces, alone = pre_tokenizers.WhitespaceSplit(), _class(kinds["alone"])
    if isinstance(tokenizer, BertTokenizer):
        return [spaces, pre_tokenizers.Split(Regex(alone), "isolated")]
    marks, flags = _class(kinds["mark"]), _class(map(chr, range(FLAGS[0], FLAGS[1] + 1)))
    return [
        spaces,
        pre_tokenizers.Split(Regex(f"^{marks}+"), "removed"),
        pre_tokenizers.Split(Regex(f"(?:{flags}{{2}}|{alone}){marks}*"), "isolated"),
        pre_tokenizers.Split(Regex(f".{{1,{tokenizer.longest_word}}}"), "isolated"),
    ]


def check_ids(path: str | Path, tokenizer: WordPieceTokenizer, captions: Sequence[str]) -> None:
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
    characters = _characters()
    results = _LAYERS[kind].normalize(characters, lower_case, strip_accents).numpy()
    pairs = zip(characters, map(bytes.decode, results), strict=True)
    return {character: text for character, text in pairs if text != character}


@cache
def _kinds(kind: str) -> dict[str, set[str]]:
    """Characters by what the graph does with one between letters; marks also behind a stop."""
    kinds: dict[str, set[str]] = {name: set() for name in ("letter", "space", "alone", "mark")}
    characters = sorted(set(_characters()) - _normalized(kind, False, False).keys())
    between, behind = (
        _LAYERS[kind].split([f"{before}{c}a" for c in characters], False, False) for before in "a."
    )
    for character, count in zip(characters, between.row_lengths().numpy(), strict=True):
        kinds[list(kinds)[count - 1]].add(character)
    firsts = behind.to_tensor()[:, 0].numpy()
    kinds["mark"] |= {c for c, first in zip(characters, firsts, strict=True) if first != b"."}
    return kinds


@cache
def _characters() -> list[str]:
    # Planes 4 to 13 are empty, 15 and 16 for private use: letters, all of them.
    codes = (*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000))
    return list(map(chr, codes))


def _one_of(characters: Iterable[str]) -> Regex:
    return Regex(_class(characters))


def _class(characters: Iterable[str]) -> str:
    """Character class, as ranges, in the syntax that Oniguruma and JavaScript share."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, characters)):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return f"[{''.join(_range(*each) for each in ranges)}]"


def _range(first: int, last: int) -> str:
    ends = [re.sub(r"[\\\[\]^-]", r"\\\g<0>", chr(code)) for code in (first, last)]
    return ends[0] if first == last else "-".join(ends)
