"""Collections of pictures and texts: embedded in bulk, indexed, searched."""
