"""Protocols: the product's measures for images that any tool made, from a folder and a CSV of pairs."""
