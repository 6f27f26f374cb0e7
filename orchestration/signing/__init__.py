"""Signed releases: a signature over each released model's files, and the bundle that proves one to an outsider."""
