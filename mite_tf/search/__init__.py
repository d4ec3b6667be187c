"""Exact vector search and pages that show its results."""

from mite_tf.search.contact_sheet import write_contact_sheet
from mite_tf.search.index import Hit, VectorIndex

__all__ = ["Hit", "VectorIndex", "write_contact_sheet"]
