"""Deployment export of trained encoders."""
