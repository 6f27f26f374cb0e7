"""Weights that come with Editloom: pinned by digest, each with a card that says how they were made."""

from training.shipped.original import shipped_original, shipped_original_dir

__all__ = ["shipped_original", "shipped_original_dir"]
