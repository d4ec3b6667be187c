"""Collections of pictures and texts: embedded in bulk, indexed, searched."""

from mite_tf.collection.embed import EmbeddedCollection, embed_collection
from mite_tf.collection.pictures import read_picture

__all__ = ["EmbeddedCollection", "embed_collection", "read_picture"]
