"""Times training through `MITE.fit` against a PyTorch loop on the same data, in turn.

Two threads each, or as many as the first argument says.
"""

from mite_tf.quiet import load_tensorflow

load_tensorflow()

import statistics  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from mite_tf.data.batches import PairBatches  # noqa: E402
from mite_tf.losses import BidirectionalTriplet  # noqa: E402
from mite_tf.models import (  # noqa: E402
    MITE,
    ImageEncoder,
    bag_of_words_encoder,
    image_head,
    modality_discriminator,
    recurrent_encoder,
)
from mite_tf.models.fused_adamw import FusedAdamW  # noqa: E402
from mite_tf.training import Stage, StageSchedule  # noqa: E402
from tests.benchmarks.timing import seconds_in_turn  # noqa: E402

try:
    import torch
except ImportError:
    sys.exit("This compares with PyTorch: pip install torch")

ROUNDS, IMAGES, CAPTIONS, BATCH, WORDS, FEATURES, SIZE = 5, 512, 5, 128, 5467, 1280, 512
STEPS = IMAGES * CAPTIONS // BATCH  # of an epoch
RATE, DECAY, NORM, MARGIN = 5e-4, 1e-4, 2.0, 0.2


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, token ids of captions as long as those of Flickr8k, and image of each caption."""
    random = np.random.default_rng(0)
    features = random.random((IMAGES, 1, FEATURES), np.float32).astype(np.float16)
    lengths = random.normal(11.8, 3.9, IMAGES * CAPTIONS).round().clip(3, 38).astype(int)
    ids = random.zipf(1.2, (len(lengths), lengths.max())) % (WORDS - 1) + 1
    ids[np.arange(lengths.max()) >= lengths[:, None]] = 0
    return features, ids.astype(np.int32), np.repeat(np.arange(IMAGES), CAPTIONS)


def mite_epoch(recurrent: bool) -> Callable[[int], None]:
    features, ids, owner = data()
    encoder = recurrent_encoder if recurrent else bag_of_words_encoder
    model = MITE(
        ImageEncoder(None, image_head((FEATURES,), embedding_size=SIZE)),
        encoder(WORDS, embedding_size=SIZE),
        modality_discriminator(SIZE),
    )
    model.compile(
        FusedAdamW(RATE, DECAY, global_clipnorm=NORM),
        BidirectionalTriplet(MARGIN, "hardest"),
    )
    batches = PairBatches(ids, owner, features=features, batch_size=BATCH)
    assert batches.steps == STEPS
    schedule = StageSchedule([Stage(name="align", epochs=100, learning_rate=RATE)])

    def run(epoch: int) -> None:
        model.fit(
            batches.dataset(epoch), initial_epoch=epoch, epochs=epoch + 1,
            callbacks=[schedule], verbose=0,
        )  # fmt: skip

    return run


class Head(torch.nn.Module):
    """A projection with a residual network beside it, as `mite_tf.models.image_head`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        nn = torch.nn
        self.drop, self.linear = nn.Dropout(0.2), nn.Linear(width, SIZE)
        self.network = nn.Sequential(
            nn.Linear(width, SIZE), nn.ReLU(), nn.Dropout(0.2), nn.Linear(SIZE, SIZE)
        )

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        vectors = self.drop(vectors)
        return torch.nn.functional.normalize(self.linear(vectors) + self.network(vectors))


class Words(torch.nn.Module):
    """Word vectors, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = torch.nn.Embedding(WORDS, SIZE), Head(SIZE)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        mask = (ids != 0).float()
        total = torch.einsum("npc,np->nc", self.words(ids), mask)
        return self.head(total / mask.sum(1, keepdim=True).clamp(min=1))


class Recurrent(torch.nn.Module):
    """A bidirectional GRU over packed captions, averaged over directions and words."""

    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.words, self.drop = nn.Embedding(WORDS, 300), nn.Dropout(0.2)
        self.gru = nn.GRU(300, SIZE, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(SIZE, SIZE)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        mask = ids != 0
        lengths = mask.sum(1)
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            self.drop(self.words(ids)), lengths, batch_first=True, enforce_sorted=False
        )
        states, _ = torch.nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        pooled = states.view(*states.shape[:2], 2, SIZE).mean(2).sum(1) / lengths[:, None]
        return torch.nn.functional.normalize(self.linear(self.drop(pooled)))


def torch_epoch(recurrent: bool) -> Callable[[int], None]:
    features, ids, owner = (torch.from_numpy(each) for each in data())
    images, text = Head(FEATURES), Recurrent() if recurrent else Words()
    parameters = [*images.parameters(), *text.parameters()]
    optimizer = torch.optim.AdamW(parameters, RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100 * STEPS)

    def run(epoch: int) -> None:
        order = torch.randperm(len(owner)).view(-1, BATCH)
        total = 0.0
        for captions in order:
            rows = owner[captions]
            found = ids[captions]
            found = found[:, : int((found != 0).sum(1).max())].long()
            scores = images(features[rows, 0].float()) @ text(found).T
            negative = rows[:, None] != rows[None, :]
            hardest = scores.masked_fill(~negative, -torch.inf)
            own = scores.diagonal()
            loss = (MARGIN - own + hardest.amax(1)).relu() + (MARGIN - own + hardest.amax(0)).relu()
            loss = loss.mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, NORM)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())

    return run


def main(threads: int) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    torch.set_num_threads(threads)
    keras.utils.set_random_seed(0)
    for recurrent in (False, True):
        runs = {"MITE.fit": mite_epoch(recurrent), "PyTorch": torch_epoch(recurrent)}
        seconds = seconds_in_turn(runs, ROUNDS, warm_up=1)
        ours, theirs = ([1000 * each / STEPS for each in times] for times in seconds.values())
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        print(
            f"{'bidirectional GRU' if recurrent else 'bag of words'}: MITE.fit "
            f"{statistics.median(ours):.1f} ms a step, PyTorch {statistics.median(theirs):.1f}; "
            f"ratio {ratio:.2f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 2)
