"""What `values.yaml` may say: the settings of a deployment, with bounds and meanings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from orchestration.fields import Section, choice, number


def _pinned(image: str) -> str:
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    if not (digest.startswith("sha256:") and len(digest) == 71) and tag in ("", "latest"):
        raise ValueError("expected a tag other than latest, as editloom:0.1.0, or @sha256: and a digest")
    return image


# 30: KubeRay puts up to 20 characters behind it, and a label holds 63.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,28}[a-z0-9])?$")]
Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|Ki|Mi|Gi|Ti)?$")]
Image = Annotated[str, StringConstraints(pattern=r"^\S+$"), AfterValidator(_pinned)]
Bucket = Annotated[str, StringConstraints(pattern=r"^s3://[^/\s]+(/\S+)?$")]
Cidr = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


def amount(default: str, description: str) -> Quantity:
    """A quantity as Kubernetes writes it: 500m, 2, 4Gi."""
    value: Quantity = choice(default, f"{description} As Kubernetes writes it: 500m, 2, 4Gi.")
    return value


class Workspace(Section):
    """The volume on which the workspace lies: ledger, DVC's cache, checkpoints of what runs beside it."""

    size: Quantity = amount("200Gi", "Size of the volume.")
    storage_class: Label | None = choice(None, "Storage class; unset: the cluster's default. A block device, not NFS.")
    preset: Name = choice("demo", "Preset from which a workspace is made where the volume has none yet.")


class Postgres(Section):
    """Dagster's database, which somebody else runs."""

    host: Label = choice("postgres", "Host name.")
    port: Port = choice(5432, "Port.")
    user: str = choice("dagster", "User; the password is a secret.")
    database: str = choice("dagster", "Name of Dagster's database. MLflow's is named in its secret.")


class Store(Section):
    """Where bytes go that must outlive the volume, and through which Ray's nodes get theirs."""

    dvc: Bucket = choice("s3://editloom/dvc", "DVC's default remote.")
    artifacts: Bucket = choice("s3://editloom/mlflow", "What MLflow keeps.")
    endpoint_url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = choice(
        None, "Address of a store that is not AWS's own."
    )
    region: Label | None = choice(None, "Region, where the store wants one.")


class Secrets(Section):
    """Names of secrets that somebody else makes; README.md lists their keys. No secret stands in a manifest."""

    postgres: Label = choice("editloom-postgres", "Key DAGSTER_PG_PASSWORD.")
    mlflow: Label = choice("editloom-mlflow", "Key MLFLOW_BACKEND_STORE_URI, password included.")
    ray: Label = choice("editloom-ray", "Key RAY_AUTH_TOKEN, the same for all nodes and steps.")
    store: Label | None = choice(
        "editloom-store", "Keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; null: by the service account."
    )
    signing: Label | None = choice(None, "Key EDITLOOM_SIGNING_KEY (PEM); null: the key made on the volume.")


class Resources(Section):
    """What a container is given; memory is limit and request at once, processor time is asked for and not limited."""

    cpu: Quantity = amount("1", "Processors.")
    memory: Quantity = amount("2Gi", "Memory.")


class Runs(Resources):
    """The pods in which runs happen: what is not a bulk step, and what gates measure."""

    cpu: Quantity = amount("4", "Processors.")
    memory: Quantity = amount("16Gi", "Memory.")
    at_once: int = number(2, "runs", 1, 1000, "Runs at once; those of the whole graph wait for each other anyway.")
    grace_s: int = number(300, "s", 30, 3600, "Time to save the state after a stop.")


class Toleration(Section):
    """A taint that Ray's workers put up with."""

    key: str = choice("nvidia.com/gpu", "Key of the taint.")
    value: str | None = choice(None, "Its value; unset: any.")
    effect: Literal["NoSchedule", "NoExecute", "PreferNoSchedule"] = choice("NoSchedule", "Its effect.")


class Workers(Resources):
    """One group of Ray's workers, all alike."""

    cpu: Quantity = amount("8", "Processors.")
    memory: Quantity = amount("48Gi", "Memory.")
    replicas: int = number(1, "nodes", 0, 1000, "Workers of the group.")
    gpus: int = number(1, "GPUs", 0, 64, "GPUs of each; a step never spans two workers.")
    gpu_resource: Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")] = choice(
        "nvidia.com/gpu", "Name of the GPUs in Kubernetes."
    )
    disk: Quantity = amount("100Gi", "Disk of each: inputs that it keeps, and the folder of the step.")
    cache_gb: int = number(50, "GB", 1, 100_000, "How much of the disk inputs may take; less than disk.")
    shared_memory: Quantity = amount("8Gi", "Shared memory, part of the memory: Ray's objects, data loaders, NCCL.")
    node_selector: Mapping[str, str] = choice({}, "Labels that the machine must have.")
    tolerations: tuple[Toleration, ...] = choice((), "Taints of GPU machines that it puts up with.")


class Ray(Section):
    """The cluster on which bulk steps run."""

    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")] = choice("2.60.0", "Version of Ray in the image.")
    head: Resources = Field(default=Resources(cpu="2", memory="8Gi"), description="Its head, which takes no steps.")
    workers: Mapping[Name, Workers] = Field(default={"gpu": Workers()}, description="Groups of workers, by name.")


class Reach(Section):
    """Addresses outside that pods may open connections to."""

    cidr: Cidr = choice("0.0.0.0/0", "Addresses.")
    ports: tuple[Port, ...] = choice((443,), "Ports.")


class Network(Section):
    """Who may talk to whom. Without a policy, whoever reaches a pod of the cluster reaches the pages."""

    pages_from: Label | None = choice(
        None, "Namespace whose pods, as those of an ingress that asks who one is, may open the pages; null: none."
    )
    mlflow_hosts: tuple[Label, ...] = choice(
        (), "Host names by which browsers call MLflow's page through that ingress; MLflow answers to no other."
    )
    reach: tuple[Reach, ...] = choice(
        (Reach(ports=(443, 6443)), Reach(cidr="10.0.0.0/8", ports=(443, 5432, 6443))),
        "Outside addresses: the object store, Postgres, the cluster's API.",
    )


class Deployment(Section):
    """All settings of a deployment."""

    name: Name = choice("editloom", "Prefix of everything's name; two deployments in one namespace need two.")
    namespace: Name = choice("editloom", "Namespace; it must be there.")
    image: Image = choice("editloom:0.1.0", "The image of deploy/Dockerfile, where your cluster finds it; pinned.")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = choice("IfNotPresent", "When the image is pulled.")
    pull_secret: Label | None = choice(None, "Name of a secret for the image's registry.")
    service_account_annotations: Mapping[str, str] = choice({}, "Annotations of the pods' account: a cloud's identity.")
    workspace: Workspace = Field(default=Workspace(), description="The workspace's volume.")
    postgres: Postgres = Field(default=Postgres(), description="Dagster's database.")
    store: Store = Field(default=Store(), description="Object store.")
    secrets: Secrets = Field(default=Secrets(), description="Names of secrets.")
    webserver: Resources = Field(default=Resources(cpu="500m"), description="Dagster's page.")
    daemon: Resources = Field(default=Resources(cpu="500m"), description="Dagster's daemon.")
    code: Resources = Field(default=Resources(memory="4Gi"), description="Each of the two code servers.")
    mlflow: Resources = Field(default=Resources(), description="MLflow's server.")
    runs: Runs = Field(default=Runs(), description="Pods of runs.")
    ray: Ray = Field(default=Ray(), description="Ray's cluster.")
    network: Network = Field(default=Network(), description="Network policy.")
