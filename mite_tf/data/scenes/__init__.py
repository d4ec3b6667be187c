"""Rendered scenes: drawn shapes with captions that are true, in families of near misses."""

from mite_tf.data.scenes.captions import describe
from mite_tf.data.scenes.drawing import draw
from mite_tf.data.scenes.ruling_out import RuledOut, ruled_out
from mite_tf.data.scenes.sampling import sample_scenes
from mite_tf.data.scenes.scene import Scene, SceneObject
from mite_tf.data.scenes.writing import write_scenes

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
