"""Whether what is learned from captions is true of images, and the other way round."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mite_tf.errors import MiteError
from mite_tf.evaluation.embeddings import draw_captions, unit_embeddings

# A word between an article, number or possessive and a word that begins something new, or the end.
_BEFORE = "an?|the|one|two|three|four|five|six|some|many|several|his|her|its|their|another"
_AFTER = (
    "in|on|at|of|with|by|near|over|under|through|into|from|to|for|along|across|behind|beside|"
    "between|around|is|are|was|were|has|have|while|who|that|which|as|against|down|up|off|onto|"
    "towards?|during|outside|inside|next|above|below"
)
_NOUN = re.compile(
    rf"\b(?:{_BEFORE}) +(?!(?:{_BEFORE}|{_AFTER}|others?|few|all|both)\b)([a-z]+)"
    rf"(?= +(?:{_AFTER})\b| *[.,;]| *$)"
)
# Of the occurrences of a word, those as a noun by the rule below: "white in" is rare, "dog in" not.
_OFTEN = 0.1
_BINS = 10  # of the calibration error, as usual since Guo et al., arXiv:1706.04599
# Of 30, 100, 300 and 1,000 the best calibrated within a modality, on dev of Flickr8k.
_PENALTY = 100.0


def frequent_nouns(captions: Sequence[str], *, count: int = 40) -> list[str]:
    """Returns the most frequent nouns of English captions, found by their neighbours.

    This is no tagger: a noun is a word that often stands between an article, a number or a
    possessive and a preposition, a verb such as "is" or the end. Of the nouns found so, those
    in the most captions are taken. Singular and plural are two nouns.

    Example:
        >>> frequent_nouns(["A brown dog in the snow.", "The dog is brown.", "A man with his dog"])
        ['dog', 'snow', 'man']
    """
    found = Counter(word for caption in captions for word in _NOUN.findall(caption.lower()))
    everywhere = Counter(word for caption in captions for word in _words(caption))
    inside = Counter(word for caption in captions for word in set(_words(caption)))
    nouns = [word for word, times in found.items() if times >= _OFTEN * everywhere[word]]
    return sorted(nouns, key=lambda word: -inside[word])[:count]


def named(
    captions: Sequence[str], caption_image: ArrayLike, images: int, nouns: Sequence[str]
) -> NDArray[np.bool_]:
    """Says which images have a caption with each noun: booleans of shape `[images, nouns]`.

    Example:
        >>> named(["A dog.", "It runs.", "Two dogs."], [0, 0, 1], 2, ["dog", "dogs"])
        array([[ True, False],
               [False,  True]])
    """
    labels = np.zeros((images, len(nouns)), bool)
    columns = {noun: column for column, noun in enumerate(nouns)}
    for caption, row in zip(captions, np.asarray(caption_image), strict=True):
        labels[row, [columns[word] for word in _words(caption) if word in columns]] = True
    return labels


def transfer(
    image_embeddings: ArrayLike,
    caption_embeddings: ArrayLike,
    caption_image: ArrayLike,
    labels: ArrayLike,
    *,
    folds: int = 2,
    max_images: int = 2000,
    seed: int = 0,
) -> dict[str, float]:
    """Trains a linear classifier on embeddings of one modality, and uses it on the other.

    One classifier (logistic regression for each label) learns from captions, one of each image,
    and is judged on images that it has seen no caption of; and the other way round. It says yes
    from a probability of 0.5 on. Ranking measures hardly see that one modality is shifted as a
    whole; this one does.

    Args:
        image_embeddings: As for `evaluate_embeddings`.
        caption_embeddings: As for `evaluate_embeddings`.
        caption_image: As for `evaluate_embeddings`.
        labels: What is true of each image and hence of its captions, booleans of shape `[I, L]`;
            see `named`.
        folds: Number of folds of the cross-validation.
        max_images: At most this many images are used, drawn at random.
        seed: Decides the draws and the folds.

    Returns:
        In percent, `TRAINED_to_USED_f1`, the mean over labels of F1, and `TRAINED_to_USED_ece`,
        the expected calibration error, for both of `images` and `captions`; also within one
        modality, to compare with.

    Raises:
        MiteError: If there are fewer images with captions than folds, or no label that is true of
            as many images and false of as many; or the embeddings cannot be used.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> images = rng.normal(size=(200, 4))
        >>> found = transfer(images, images, np.arange(200), images[:, :2] > 0)
        >>> found["captions_to_images_f1"] > 80
        True
        >>> apart = transfer(images, images - 2, np.arange(200), images[:, :2] > 0)
        >>> apart["images_to_captions_f1"] < apart["images_to_images_f1"] - 50
        True
    """
    embeddings = unit_embeddings(image_embeddings, caption_embeddings, caption_image)
    drawn = draw_captions(embeddings, max_images=max_images, seed=seed)
    images = embeddings.caption_image[drawn]
    true = np.asarray(labels, bool)[images]
    # Less often true or false, a label may be the same for all that is trained on.
    true = true[:, np.minimum(true.sum(axis=0), (~true).sum(axis=0)) >= folds]
    if len(images) < folds or not true.shape[1]:
        raise MiteError(
            f"Transfer needs a noun that {folds} images or more have in a caption and {folds} have "
            "not; nouns are found in English captions alone."
        )
    rows = {"captions": embeddings.captions[drawn], "images": embeddings.images[images]}
    fold = np.random.default_rng(seed).permutation(len(images)) % folds
    found = {}
    for trained, learned in rows.items():
        guesses = {used: np.empty(true.shape) for used in rows}
        for held_out in range(folds):
            judged = fold == held_out
            classify = _classifier(learned[~judged], true[~judged])
            for used, guess in guesses.items():
                guess[judged] = classify.predict_proba(rows[used][judged]).reshape(
                    -1, true.shape[1]
                )
        for used, guess in guesses.items():
            found[f"{trained}_to_{used}_f1"] = 100 * _macro_f1(guess >= 0.5, true)
            found[f"{trained}_to_{used}_ece"] = 100 * _calibration_error(guess, true)
    return found


def _words(caption: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", caption.lower())


def _classifier(rows: NDArray, true: NDArray[np.bool_]) -> Any:
    """Fits logistic regressions for all labels at once, which a network without layers is."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    network = MLPClassifier((), solver="lbfgs", alpha=_PENALTY, max_iter=60, random_state=0)
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(StandardScaler(), network).fit(rows, true)


def _macro_f1(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    both = (said & true).sum(axis=0)
    return float(np.mean(2 * both / (said.sum(axis=0) + true.sum(axis=0))))


def _calibration_error(guesses: NDArray, true: NDArray[np.bool_]) -> float:
    """The mean distance of what is guessed from what is true, over bins of guesses."""
    bins = np.minimum((guesses * _BINS).astype(int), _BINS - 1).ravel()
    off = np.bincount(bins, weights=(guesses - true).ravel(), minlength=_BINS)
    return float(np.abs(off).sum() / guesses.size)
