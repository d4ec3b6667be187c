"""What the stages of a training read: batches of train, and dev for measuring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mite_tf.data import CaptionedImages, Unpaired
from mite_tf.data.batches import PairBatches, steps_per_epoch
from mite_tf.data.feature_cache import FeatureCache, TextFeatureCache
from mite_tf.data.precomputed import PrecomputedFeatures
from mite_tf.encoders import Encoders
from mite_tf.evaluation import Embeddings
from mite_tf.models import TextEncoder
from mite_tf.progress import progress, say
from mite_tf.runs.config import Config
from mite_tf.text import TokenTable
from mite_tf.training import Interruption, Stage


class StageInputs:
    """Batches and measurements for each stage, with features cached where the backbone rests.

    `unpaired` is what stages with an adversary read besides, unless `training.unpaired` is off.
    `precomputed` holds the features of all images, for encoders without a backbone;
    `interruption` is checked while features are computed.
    """

    def __init__(
        self,
        train: CaptionedImages,
        dev: CaptionedImages,
        encoders: Encoders,
        config: Config,
        *,
        unpaired: Unpaired,
        feature_cache: Path,
        interruption: Interruption,
        precomputed: PrecomputedFeatures | None = None,
        quiet: bool = False,
    ) -> None:
        self.train = train
        self.dev = dev
        self.encoders = encoders
        self.config = config
        self.unpaired = unpaired if config.training.unpaired else Unpaired()
        self.feature_cache = feature_cache
        self.precomputed = precomputed
        self.quiet = quiet
        self._interruption = interruption
        self.train_ids: TokenTable = encoders.tokenizer.table(train.captions)
        self.dev_ids: TokenTable = encoders.tokenizer.table(dev.captions)
        self._unpaired_ids: TokenTable = encoders.tokenizer.table(self.unpaired.captions)
        self._stage: Stage | None = None
        self._text_cache: TextFeatureCache | None = None

    def enter(self, stage: Stage) -> None:
        """Prepares a stage: caches the features that it needs of the backbone as it is now."""
        if stage is self._stage:
            return
        self._stage = stage
        learns = stage.text_backbone_share > 0  # known features would be those of before
        self._dev_texts = None if learns else self._text_features(self.dev_ids)
        self._dev_features: np.ndarray | None = None
        features = None
        settings = self.config.training
        views = stage.views or settings.views
        if self.precomputed is not None:
            features = self.precomputed.of(self.train.image_ids)[:, None]
            self._dev_features = self.precomputed.of(self.dev.image_ids)
        elif stage.inputs == "features":
            features = self._features(self.train.paths, views=views)
            self._dev_features = self._features(self.dev.paths)[:, 0]
        preprocessing, size = self.encoders.preprocessing, stage.image_size
        if preprocessing is not None and size:
            preprocessing = replace(preprocessing, height=size, width=size)
        self.batches = PairBatches(
            self.train_ids.ids,
            self.train.caption_image,
            features=features,
            paths=self.train.paths,
            preprocessing=preprocessing,
            batch_size=stage.batch_size,
            captions_per_image=stage.captions_per_image,
            smallest_crop=stage.smallest_crop,
            flip=stage.flip,
            text_features=None if learns else self._text_features(self.train_ids),
            **self._unpaired(stage, views),
            seed=settings.seed,
        )

    def steps(self, stage: Stage) -> int:
        """Returns the number of batches of an epoch of a stage."""
        images, captions = len(self.train), len(self.train.captions)
        return steps_per_epoch(images, captions, stage.batch_size, stage.captions_per_image)

    def _unpaired(self, stage: Stage, views: int) -> dict[str, Any]:
        """What a stage reads beside the pairs, as arguments of `PairBatches`."""
        if not (stage.is_adversarial or stage.discriminator_steps):
            return {}
        found: dict[str, Any] = {}
        if self.unpaired.captions:
            found["unpaired_token_ids"] = self._unpaired_ids.ids
            if not stage.text_backbone_share:
                found["unpaired_text_features"] = self._text_features(self._unpaired_ids)
        if self.unpaired.image_ids:
            if self.precomputed is not None:  # in a table of its own: names may be those of train
                apart = PrecomputedFeatures(self.precomputed.path)
                found["unpaired_features"] = apart.of(self.unpaired.image_ids)[:, None]
            elif stage.inputs == "features":
                found["unpaired_features"] = self._features(self.unpaired.paths, views=views)
            else:
                found["unpaired_paths"] = self.unpaired.paths
        return found

    def _features(self, paths: Sequence[Path], *, views: int = 1) -> np.ndarray:
        """Features of the first views; cut from those of all views where these are at hand."""
        cache, settings = self._cache(), self.config.training
        smallest = settings.smallest_crop
        held = views > 1 and cache.holds(paths, views=settings.views, smallest_crop=smallest)
        with progress("Features of the backbone", "images", quiet=self.quiet) as report:
            features = cache.features(
                paths,
                views=settings.views if held else views,
                smallest_crop=smallest,
                on_progress=self._interruption.between(report),
            )
        return features[:, :views]

    def _cache(self) -> FeatureCache:
        preprocessing = self.encoders.preprocessing
        assert preprocessing is not None
        backbone = self.encoders.image_encoder.backbone
        return FeatureCache(self.feature_cache, backbone, preprocessing, tell=self._tell)

    def _tell(self, sentence: str) -> None:
        if not self.quiet:
            say(sentence)

    def _text_features(self, table: TokenTable) -> np.ndarray | None:
        """Features of captions under a pretrained text backbone; None without one."""
        encoder = self.encoders.text_encoder
        if not isinstance(encoder, TextEncoder):
            return None
        if self._text_cache is None or encoder.backbone.trainable:  # it may have learned
            self._text_cache = TextFeatureCache(
                self.feature_cache, encoder.backbone, tell=self._tell
            )
        with progress("Features of the text backbone", "captions", quiet=self.quiet) as report:
            return self._text_cache.features(
                table.ids, on_progress=self._interruption.between(report)
            )

    def _held_features(self) -> np.ndarray | None:
        """Features of train, one view, if the cache has them for the backbone as it is now."""
        cache, settings = self._cache(), self.config.training
        for views in {
            settings.views,
            *(stage.views or settings.views for stage in self.config.stages),
        }:
            smallest = settings.smallest_crop
            if cache.holds(self.train.paths, views=views, smallest_crop=smallest):
                found = cache.features(self.train.paths, views=views, smallest_crop=smallest)
                return found[:, 0]
        return None

    def embed_train(
        self, images: np.ndarray, captions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embeds rows of train's images and of its captions with the encoders as they stand."""
        known = self.precomputed
        features = known.of(self.train.image_ids) if known else self._held_features()
        if features is not None:
            found = self.encoders.embed_features(features[images])
        else:
            with progress("Embedding a bank of train", "images", quiet=self.quiet) as report:
                found = self.encoders.embed_images(
                    [self.train.paths[row] for row in images],
                    on_progress=self._interruption.between(report),
                )
        texts = self._text_features(self.train_ids)
        of_captions = None if texts is None else texts[captions]
        return found, self.encoders.embed_ids(self.train_ids.ids[captions], of_captions)

    def embed_dev(self) -> Embeddings:
        """Embeds dev with the encoders as they stand."""
        if self._dev_features is None:
            images = self.encoders.embed_images(self.dev.paths)
        else:
            images = self.encoders.embed_features(self._dev_features)
        captions = self.encoders.embed_ids(self.dev_ids.ids, self._dev_texts)
        return Embeddings(images, captions, self.dev.caption_image)
