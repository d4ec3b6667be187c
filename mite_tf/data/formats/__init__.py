"""The ways in which captions are written down, one reader to a file."""
