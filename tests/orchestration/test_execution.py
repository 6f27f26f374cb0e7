"""What a run of the whole graph leaves: the ledger, Dagster, MLflow and the bytes say the same of every asset."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from conftest import Editloom
from mlflow.entities import Run

from orchestration.graph import GRAPH, AssetId, expand
from orchestration.params import resolve
from orchestration.store import journal, ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.store.payload import digest_payload
from orchestration.store.staging import STAGING
from orchestration.tracking import open_tracker
from orchestration.tracking.registry import CANDIDATE, download, resolve as resolve_model
from orchestration.tracking.runs import TAG_ASSET, TAG_DAGSTER_RUN, TAG_DATA_VERSION, TAG_PARENT, TAG_PARTITION
from orchestration.workspace import Workspace
