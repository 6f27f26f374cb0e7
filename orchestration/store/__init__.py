"""Where bytes become a version: hashing, staging, the journal, the ledger, DVC, and what may be reused."""
