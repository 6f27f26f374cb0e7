"""Dagster's own reading of a rendered dagster.yaml, and the job that dagster-k8s would start for a run."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from dagster import DagsterRun
from dagster._config import process_config
from dagster._core.instance.ref import InstanceRef
from dagster._serdes import ConfigurableClassData
from dagster_k8s import K8sRunLauncher
from dagster_k8s.job import construct_dagster_k8s_job
from kubernetes.client import ApiClient

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "none", "cluster": {"server": "https://localhost:1"}}],
    "users": [{"name": "none", "user": {}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "current-context": "none",
}


def instance_of(text: str, folder: Path) -> InstanceRef:
    """The instance that a dagster.yaml describes, the settings of its parts held against their schemas."""
    (folder / "dagster.yaml").write_text(text)
    ref = InstanceRef.from_dir(str(folder))
    parts = (ref.run_launcher_data, ref.storage_data, ref.run_coordinator_data)
    for data in parts:
        assert data is not None
        told = process_config(_class(data).config_type(), yaml.safe_load(data.config_yaml) or {})
        assert told.success, told.errors
    return ref


def run_job(text: str) -> dict[str, Any]:
    """The job that the launcher of a dagster.yaml makes for a run, as it is sent to the cluster."""
    config = yaml.safe_load(text)["run_launcher"]["config"]
    with TemporaryDirectory() as folder:
        kubeconfig = Path(folder, "config")
        kubeconfig.write_text(yaml.safe_dump(KUBECONFIG))
        launcher = K8sRunLauncher(**config, load_incluster_config=False, kubeconfig_file=str(kubeconfig))
    run = DagsterRun(job_name="editloom_run", run_id="00000000-0000-4000-8000-000000000000")
    context = launcher.get_container_context_for_run(run)
    job = construct_dagster_k8s_job(
        job_config=context.get_k8s_job_config(job_image=None, run_launcher=launcher),
        args=["dagster", "api", "execute_run", "{}"],
        job_name="dagster-run",
        pod_name="dagster-run",
        component="run_worker",
        user_defined_k8s_config=context.run_k8s_config,
    )
    sent: dict[str, Any] = ApiClient().sanitize_for_serialization(job)
    return sent


def _class(data: ConfigurableClassData) -> Any:
    module = __import__(data.module_name, fromlist=[data.class_name])
    return getattr(module, data.class_name)
