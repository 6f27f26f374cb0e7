"""The graph's partitions, declared once in params.yaml."""

from __future__ import annotations

import dagster as dg

from orchestration.workspace import Workspace

ATTRIBUTES = dg.StaticPartitionsDefinition(list(Workspace.current().params().attributes))
