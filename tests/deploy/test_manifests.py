"""The manifests of deploy/: held against Kubernetes' own schemas, dagster's and each other. No cluster is at hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from deploy.render import read, render, secrets_of
from deploy.settings import Deployment
from orchestration.workspace import DAGSTER_YAML
from tests.deploy.dagster_pods import instance_of, run_job

HERE = Path(__file__).parent
DEPLOY = HERE.parents[1] / "deploy"
KUBERNETES = kubernetes_validate.latest_version()
# Everything that is off by default, and names that differ from the defaults: what a template spells out itself shows.
FULL: Mapping[str, Any] = {
    "name": "faces",
    "namespace": "research",
    "image": "registry.example/team/editloom@sha256:" + "0" * 64,
    "pull_secret": "registry-login",
    "service_account_annotations": {"iam.example/role": "editloom"},
    "workspace": {"storage_class": "fast"},
    "store": {"endpoint_url": "http://objects:9000", "region": "eu-west-1"},
    "secrets": {"postgres": "pg", "mlflow": "ml", "ray": "tokens", "store": "objects", "signing": "pen"},
    "ray": {
        "workers": {
            "small": {"gpus": 0, "replicas": 3},
            "large": {
                "gpus": 8,
                "node_selector": {"gpu": "h200"},
                "tolerations": [{"key": "nvidia.com/gpu"}, {"key": "team", "value": "faces"}],
            },
        }
    },
    "network": {"pages_from": "ingress", "mlflow_hosts": ["mlflow.example"]},
}
SETTINGS = {
    "defaults": Deployment(),
    "everything": Deployment.model_validate(FULL),
    "no-store": Deployment.model_validate({"secrets": {"store": None}}),
}


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def values(request: pytest.FixtureRequest) -> Deployment:
    """Settings of a deployment."""
    return SETTINGS[request.param]


@pytest.fixture(scope="module")
def manifests(values: Deployment) -> list[dict[str, Any]]:
    """Its manifests, and the job that dagster-k8s makes of its dagster.yaml for a run."""
    found = list(yaml.safe_load_all(render(values)))
    (settings,) = _of(found, "ConfigMap")
    return [*found, run_job(settings["data"]["dagster.yaml"])]


def test_every_manifest_is_what_kubernetes_takes(manifests: list[dict[str, Any]]) -> None:
    for manifest in manifests:
        if manifest["kind"] != "RayCluster":
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_ray_cluster_is_what_kuberay_takes(manifests: list[dict[str, Any]]) -> None:
    """Its own resource has no schema in any package: the outer fields against one written from its documentation, the
    pods as Kubernetes' own."""
    (cluster,) = _of(manifests, "RayCluster")
    Draft202012Validator(json.loads((HERE / "raycluster.schema.json").read_text())).validate(cluster)
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    for group in groups:
        template = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": group["template"]}
        kubernetes_validate.validate(template, KUBERNETES, strict=True)


def test_dagster_takes_its_settings(
    manifests: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "known to the pod")
    (settings,) = _of(manifests, "ConfigMap")
    text = settings["data"]["dagster.yaml"]
    instance_of(text, tmp_path)
    given, usual = yaml.safe_load(text), yaml.safe_load(DAGSTER_YAML)
    # What every workspace's instance says holds here too.
    assert given["concurrency"]["pools"] == usual["concurrency"]["pools"]
    assert all(given[key] == usual[key] for key in usual if key != "concurrency")


def test_pods_are_restricted(manifests: list[dict[str, Any]]) -> None:
    """Kubernetes' pod security standard `restricted`."""
    for pod in _pods(manifests):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in _containers(spec):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        kinds = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim"}


def test_every_container_asks_for_what_it_needs(manifests: list[dict[str, Any]]) -> None:
    for pod in _pods(manifests):
        for container in _containers(pod["spec"]):
            resources = container["resources"]
            assert set(resources["requests"]) >= {"cpu", "memory"}
            assert resources["limits"]["memory"] == resources["requests"]["memory"]


def test_servers_are_probed(manifests: list[dict[str, Any]]) -> None:
    for deployment in _of(manifests, "Deployment"):
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            assert {"startupProbe", "livenessProbe"} <= set(container), container["name"]
            assert "readinessProbe" in container or not container.get("ports")


def test_only_the_pinned_image_runs(manifests: list[dict[str, Any]], values: Deployment) -> None:
    images = {container["image"] for pod in _pods(manifests) for container in _containers(pod["spec"])}
    assert images == {values.image}


def test_no_secret_in_clear_text(manifests: list[dict[str, Any]], values: Deployment) -> None:
    assert not _of(manifests, "Secret")
    secret = re.compile(r"PASSWORD|SECRET|TOKEN|SIGNING_KEY|ACCESS_KEY|STORE_URI")
    given = [one for pod in _pods(manifests) for c in _containers(pod["spec"]) for one in c.get("env", [])]
    assert all("value" not in one for one in given if secret.search(one["name"]))
    assert {one["name"] for one in given if "valueFrom" in one} == {
        key for _, keys in secrets_of(values) for key in keys
    }


def test_everything_referred_to_is_there(manifests: list[dict[str, Any]], values: Deployment) -> None:
    kinds = ("ConfigMap", "PersistentVolumeClaim", "ServiceAccount", "Role")
    names = {kind: {one["metadata"]["name"] for one in _of(manifests, kind)} for kind in kinds}
    secrets = {name: set(keys) for name, keys in secrets_of(values)}
    for pod in _pods(manifests):
        spec = pod["spec"]
        assert spec["serviceAccountName"] in names["ServiceAccount"]
        assert {one["name"] for one in spec.get("imagePullSecrets") or []} == {values.pull_secret} - {None}
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        for volume in volumes.values():
            assert volume.get("configMap", {}).get("name") in {*names["ConfigMap"], None}
            assert volume.get("persistentVolumeClaim", {}).get("claimName") in {*names["PersistentVolumeClaim"], None}
        for container in _containers(spec):
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= set(volumes)
            for one in container.get("env", []):
                reference = one.get("valueFrom", {}).get("secretKeyRef")
                assert reference is None or reference["key"] in secrets[reference["name"]]
    (binding,) = _of(manifests, "RoleBinding")
    assert binding["roleRef"]["name"] in names["Role"]
    assert {one["name"] for one in binding["subjects"]} <= names["ServiceAccount"]


def test_files_of_config_maps_are_there(manifests: list[dict[str, Any]]) -> None:
    files = {one["metadata"]["name"]: set(one["data"]) for one in _of(manifests, "ConfigMap")}
    for pod in _pods(manifests):
        maps = {v["name"]: files[v["configMap"]["name"]] for v in pod["spec"].get("volumes", []) if "configMap" in v}
        for container in _containers(pod["spec"]):
            for mount in container.get("volumeMounts", []):
                if mount["name"] in maps:
                    assert mount.get("subPath") in {*maps[mount["name"]], None}
                    words = [str(word) for word in [*container.get("command", []), *container.get("args", [])]]
                    words += [str(one.get("value", "")) for one in container.get("env", [])]
                    named = [word for word in words if word.startswith("/settings/")]
                    assert {word.rpartition("/")[2] for word in named} <= maps[mount["name"]]


def test_selectors_find_their_pods(manifests: list[dict[str, Any]]) -> None:
    pods = _pods(manifests)
    for deployment in _of(manifests, "Deployment"):
        chosen, template = deployment["spec"]["selector"]["matchLabels"], deployment["spec"]["template"]
        assert [pod for pod in pods if _matches(chosen, pod)] == [template]
    for service in _of(manifests, "Service"):
        (pod,) = [pod for pod in pods if _matches(service["spec"]["selector"], pod)]
        ports = {port["name"] for container in pod["spec"]["containers"] for port in container.get("ports", [])}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    policy = next(one for one in _of(manifests, "NetworkPolicy"))
    assert all(_matches(policy["spec"]["podSelector"]["matchLabels"], pod) for pod in pods)


def test_runs_stand_beside_the_volume(manifests: list[dict[str, Any]]) -> None:
    """One machine mounts it: pods that use it are placed where the code servers are."""
    users = [
        pod for pod in _pods(manifests) if any("persistentVolumeClaim" in v for v in pod["spec"].get("volumes", []))
    ]
    code, run = sorted(users, key=lambda pod: "affinity" in pod["spec"])
    (term,) = run["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert _matches(term["labelSelector"]["matchLabels"], code)


def test_addresses_are_those_of_services(manifests: list[dict[str, Any]]) -> None:
    (cluster,) = _of(manifests, "RayCluster")
    head = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    gcs = next(port["containerPort"] for port in head["ports"] if port["name"] == "gcs-server")
    run = _environment(manifests, "dagster")
    # KubeRay names the service after the cluster.
    assert run["EDITLOOM_RAY_ADDRESS"] == f"{cluster['metadata']['name']}-head-svc:{gcs}"
    services = {one["metadata"]["name"]: {p["port"] for p in one["spec"]["ports"]} for one in _of(manifests, "Service")}
    host, _, port = run["MLFLOW_TRACKING_URI"].removeprefix("http://").rpartition(":")
    assert int(port) in services[host]
    (server,) = [pod for pod in _pods(manifests) if pod["spec"]["containers"][0]["name"] == "mlflow"]
    (allowed,) = [w for w in server["spec"]["containers"][0]["command"] if w.startswith("--allowed-hosts=")]
    assert f"{host}:{port}" in allowed.removeprefix("--allowed-hosts=").split(",")  # it refuses other names with 403
    (settings,) = _of(manifests, "ConfigMap")
    for location in yaml.safe_load(settings["data"]["workspace.yaml"])["load_from"]:
        assert location["grpc_server"]["port"] in services[location["grpc_server"]["host"]]


def test_ray_nodes_and_steps_know_the_same_token(manifests: list[dict[str, Any]]) -> None:
    (cluster,) = _of(manifests, "RayCluster")
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    pods = [*(group["template"] for group in groups), _of(manifests, "Job")[0]["spec"]["template"]]
    for pod in pods:
        env = {one["name"]: one for one in pod["spec"]["containers"][0]["env"]}
        assert env["RAY_AUTH_MODE"]["value"] == "token"
        assert env["RAY_AUTH_TOKEN"] == {**env["RAY_AUTH_TOKEN"], "valueFrom": _token(pods[0])}


def test_full_settings_differ_only_where_said() -> None:
    """Nothing of the defaults' names stays in manifests of other names."""
    text = render(SETTINGS["everything"])
    assert not re.search(r"editloom-(?!code|graph)[a-z]", text)


def test_same_values_give_the_same_text(values: Deployment) -> None:
    assert render(values) == render(values)


def test_values_file_is_the_defaults_and_names_all() -> None:
    given = yaml.safe_load((DEPLOY / "values.yaml").read_text())
    assert read(DEPLOY / "values.yaml") == Deployment()
    assert _keys(given) == _keys(Deployment().model_dump(mode="json"))


def _token(pod: Mapping[str, Any]) -> Any:
    return next(one for one in pod["spec"]["containers"][0]["env"] if one["name"] == "RAY_AUTH_TOKEN")["valueFrom"]


def _keys(document: Any) -> Any:
    return {key: _keys(value) for key, value in document.items()} if isinstance(document, dict) else None


def _of(manifests: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in manifests if one["kind"] == kind]


def _pods(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The template of every pod."""
    found = [one["spec"]["template"] for one in manifests if one["kind"] in ("Deployment", "Job")]
    for cluster in _of(manifests, "RayCluster"):
        found += [cluster["spec"]["headGroupSpec"]["template"]]
        found += [group["template"] for group in cluster["spec"]["workerGroupSpecs"]]
    return found


def _containers(spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from spec.get("initContainers") or []
    yield from spec["containers"]


def _environment(manifests: list[dict[str, Any]], container: str) -> dict[str, str]:
    (found,) = [c for pod in _pods(manifests) for c in _containers(pod["spec"]) if c["name"] == container]
    return {one["name"]: one.get("value", "") for one in found["env"]}


def _matches(labels: Mapping[str, str], pod: Mapping[str, Any]) -> bool:
    return labels.items() <= pod["metadata"]["labels"].items()
