"""The search page, in the browser."""
