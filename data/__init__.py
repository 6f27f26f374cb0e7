"""The data room: renderer, ingest, landmarks, alignment, manifests, shards, expectations."""
