"""The training room: networks, losses, fusion, LightningModules. Knows tensors, and no Dagster, MLflow or DVC."""
