"""Releases: decisions in the ledger, the aliases that follow them, the gate, and what a person may decide."""
