"""The orchestration room: the asset graph, compute, store, tracking, lineage and the command line."""
