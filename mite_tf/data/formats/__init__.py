"""The ways in which captions are written down."""
