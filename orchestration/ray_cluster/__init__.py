"""Bulk steps on a Ray cluster: files travel through a store by hash, and only the head publishes."""
