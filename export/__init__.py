"""Deployment export: SavedModel and ONNX encoders. Not written yet; see the changelog."""
