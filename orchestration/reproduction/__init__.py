"""Making a recorded version again from its lineage, and saying whether the same bytes come out."""
