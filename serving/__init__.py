"""Serving of exported encoders. Not written yet; see the changelog."""
