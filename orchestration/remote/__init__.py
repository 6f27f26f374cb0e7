"""Payloads and the ledger in a remote: what one checkout made, another can have and prove."""
