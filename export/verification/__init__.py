"""Proof that every exported form computes what Keras computed."""
