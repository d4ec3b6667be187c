"""Rendered scenes: drawn shapes with captions that are true, in families of near misses."""

from mite_tf.scenes.captions import describe
from mite_tf.scenes.drawing import draw
from mite_tf.scenes.families import sample_scenes
from mite_tf.scenes.folder import RuledOut, ruled_out, write_scenes
from mite_tf.scenes.scene import Scene, SceneObject

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
