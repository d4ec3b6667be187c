"""Captioned images in: tables, readers, checks, rendered scenes, batches."""

from mite_tf.data.captioned_images import CaptionedImage, CaptionedImages
from mite_tf.data.check_problem import Place, Problem
from mite_tf.data.check_report import CheckReport
from mite_tf.data.checks import check
from mite_tf.data.readers import read

__all__ = [
    "CaptionedImage",
    "CaptionedImages",
    "CheckReport",
    "Place",
    "Problem",
    "check",
    "read",
]
