"""The evaluation room: metrics, intervals, reports, comparison. Knows no Dagster, MLflow or DVC."""
