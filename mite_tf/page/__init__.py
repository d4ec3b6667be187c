"""A page in the browser on which people search a collection of pictures and texts."""

from mite_tf.extras import from_extra

with from_extra("page", "The search page"):
    from mite_tf.page.run import RunningPage, show_page, start_page

__all__ = ["RunningPage", "show_page", "start_page"]
