"""Checks of what a server answers to requests that are right."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np

from mite_tf.errors import MiteError
from mite_tf.serving.client import EmbeddingError
from mite_tf.serving.smoke.subject import MODELS, Failed, Subject

SENTENCES = [
    "Two dogs run across the wet sand.",
    "A man in a red coat climbs a wall.",
    "Children play in a fountain.",
    "An old boat lies on the shore.",
    "A woman reads in a train.",
]
# Single sentences sent by so many threads at a time; a batch holds several of them.
_THREADS, _AT_ONCE = 16, 64


def status(subject: Subject) -> str:
    """Both models have a version that is AVAILABLE."""
    end = time.monotonic() + subject.wait
    while True:
        try:
            states = subject.client.status(timeout=max(0.1, end - time.monotonic()))
        except EmbeddingError as error:
            if error.code != "NOT_FOUND":  # not loaded yet is NOT_FOUND too
                raise
            states = {}
        ready = {
            model: [each.version for each in states.get(model, []) if each.state == "AVAILABLE"]
            for model in MODELS
        }
        if all(ready.values()):
            return ", ".join(
                f"{model} {' and '.join(map(str, sorted(found)))}" for model, found in ready.items()
            )
        if time.monotonic() > end:
            raise Failed(f"after {subject.wait:g} s, AVAILABLE are: {ready}")
        time.sleep(0.5)


def health(subject: Subject) -> str:
    """The gRPC health protocol, where it is switched on, says SERVING."""
    try:
        answer = subject.call("/grpc.health.v1.Health/Check", b"")
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            return "not switched on (--enable_grpc_healthcheck_service)"
        raise
    if answer != b"\x08\x01":  # HealthCheckResponse(status=SERVING)
        raise Failed(f"the answer is {answer!r}, not SERVING")
    return "SERVING"


def metadata(subject: Subject) -> str:
    """Both models have the signature that clients use by default."""
    described = subject.client.metadata()
    found = []
    for model, inputs in (("image", {"image_bytes", "features"}), ("text", {"text"})):
        signature = described[model].signatures.get("serving_default")
        if signature is None:
            raise Failed(f"{model} has no signature serving_default")
        [[name, tensor]] = signature.inputs.items()
        if name not in inputs or list(signature.outputs) != ["embedding"]:
            raise Failed(f"{model} takes {name} and gives {', '.join(signature.outputs)}")
        found.append(f"{name} {tensor} -> embedding {signature.outputs['embedding']}")
    return "; ".join(found)


def picture(seed: int = 0) -> bytes:
    """Returns a PNG file of smooth colours.

    Example:
        >>> picture()[1:4]
        b'PNG'
    """
    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((120, 96), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def embed_images(subject: Subject, count: int = 1) -> np.ndarray:
    """Returns embeddings of drawn images, or of random features where the model takes those."""
    if subject.image_input == "features":
        shape = (count, *subject.features_shape)
        return subject.client.embed_features(np.random.default_rng(0).random(shape, np.float32))
    return subject.client.embed_images([picture(seed) for seed in range(count)])


def embeddings(subject: Subject) -> str:
    """Sentences and an image get finite embeddings of length 1, in one space, that differ."""
    text = subject.client.embed_text(SENTENCES[:2])
    image = embed_images(subject)
    for name, found, rows in (("text", text, 2), ("image", image, 1)):
        if found.dtype != np.float32 or found.shape != (rows, text.shape[1]):
            raise Failed(f"{name} gives {found.dtype} {list(found.shape)}")
        lengths = np.linalg.norm(found, axis=1)
        if not np.allclose(lengths, 1, atol=1e-3):  # NaN too
            raise Failed(f"{name} has embeddings of length {lengths.tolist()}, not 1")
    if np.allclose(text[0], text[1], atol=1e-6):
        raise Failed("two sentences get the same embedding")
    return f"{text.shape[1]} numbers, of length 1"


def batches(subject: Subject) -> str:
    """An input gets the same embedding alone and among others."""
    together = subject.client.embed_text(SENTENCES)
    alone = np.concatenate([subject.client.embed_text([each]) for each in SENTENCES])
    pair = embed_images(subject, 2)
    differences = [np.abs(together - alone).max(), np.abs(pair[:1] - embed_images(subject)).max()]
    return _small(max(differences), subject.tolerance)


def at_once(subject: Subject) -> str:
    """Each of many requests at a time gets its own answer, not that of a neighbour in its batch."""
    expected = subject.client.embed_text(SENTENCES)
    numbers = [number % len(SENTENCES) for number in range(_AT_ONCE)]
    with ThreadPoolExecutor(_THREADS) as threads:
        answers = list(threads.map(lambda n: subject.client.embed_text([SENTENCES[n]])[0], numbers))
    return _small(float(np.abs(np.stack(answers) - expected[numbers]).max()), subject.tolerance)


def golden(subject: Subject) -> str:
    """The cases in the export folder get the answers that Keras gave at export."""
    from mite_tf.export.verification.golden import read_golden

    assert subject.export is not None
    cases = read_golden(subject.export)
    text = np.abs(subject.client.embed_text(cases.captions) - cases.caption_embeddings).max()
    if cases.features is None:
        images = subject.client.embed_images(cases.files)
    else:
        images = subject.client.embed_features(cases.features)
    image = np.abs(images - cases.image_embeddings).max()
    count = f"{len(cases.captions)} captions, {len(images)} images: "
    return count + _small(max(text, image), subject.tolerance)


def _small(difference: float, tolerance: float) -> str:
    if not difference <= tolerance:  # NaN too
        raise Failed(f"differs by {difference:.2g}, more than {tolerance:g}")
    return f"within {difference:.1g}"


def describe(error: Exception) -> str:
    """Returns what went wrong, in one line."""
    if isinstance(error, grpc.RpcError):
        return f"{error.code().name}: {error.details()}"
    if isinstance(error, Failed | MiteError):
        return str(error)
    return f"{type(error).__name__}: {str(error).strip()[:200]!r}"
