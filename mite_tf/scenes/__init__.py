"""Rendered scenes: drawn shapes with captions that are true, in families of near misses."""

from mite_tf.scenes.captions import describe
from mite_tf.scenes.drawing import draw
from mite_tf.scenes.ruling_out import RuledOut, ruled_out
from mite_tf.scenes.sampling import sample_scenes
from mite_tf.scenes.scene import Scene, SceneObject
from mite_tf.scenes.writing import write_scenes

__all__ = [
    "RuledOut",
    "Scene",
    "SceneObject",
    "describe",
    "draw",
    "ruled_out",
    "sample_scenes",
    "write_scenes",
]
