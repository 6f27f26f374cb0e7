"""Whether everything is as the ledger says, thing by thing, and proofs of what is in an image set."""
