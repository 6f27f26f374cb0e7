"""Mask fusion measured: pairs, trade-offs beside other ways to edit, and the search for a schedule."""
