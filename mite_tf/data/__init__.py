"""Captioned images in: formats, checks, batches and cached features."""

from mite_tf.data.captioned_images import CaptionedImages
from mite_tf.data.checks import CheckReport, check
from mite_tf.data.collector import CaptionedImage
from mite_tf.data.problem import Place, Problem
from mite_tf.data.readers import read
from mite_tf.data.unpaired import Unpaired, read_unpaired

__all__ = [
    "CaptionedImage",
    "CaptionedImages",
    "CheckReport",
    "Place",
    "Problem",
    "Unpaired",
    "check",
    "read",
    "read_unpaired",
]
