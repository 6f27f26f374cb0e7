"""An inbox on S3, by a real server that speaks its protocol."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.errors import UserError
from orchestration.automation.inbox import Cursor, look
from tests.orchestration.automation.drops import bare, photo

BUCKET = "drops"


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket; its server is where the environment says that S3 is."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", address)
        patch.setenv("AWS_ACCESS_KEY_ID", "x")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield address
    server.stop()


def test_prefix_is_watched_like_a_folder(bucket: str, tmp_path: Path) -> None:
    import boto3

    ws = bare(tmp_path, path=f"s3://{BUCKET}/new/photos")
    client, cursor, now = boto3.client("s3"), Cursor({}, ()), 0.0

    def after(seconds: float) -> tuple[str, ...]:
        nonlocal cursor, now
        now += seconds
        found = look(ws, ws.params().automation.inbox, cursor, now, time.monotonic() + 600)
        cursor = found.cursor
        return tuple(batch.name for batch in found.batches)

    for seed in range(100, 104):
        content = photo(tmp_path / "scratch.png", seed).read_bytes()
        client.put_object(Bucket=BUCKET, Key=f"new/photos/album/{seed}.png", Body=content)
    assert after(0) == ()
    client.put_object(
        Bucket=BUCKET, Key="new/photos/album/103.png", Body=content + b"more"
    )  # another ETag: not complete
    assert after(11) == ()
    (batch,) = after(11)
    placed = tmp_path / "photos" / batch / "album"
    assert sorted(path.name for path in placed.iterdir()) == [f"{seed}.png" for seed in range(100, 104)]
    assert (placed / "103.png").read_bytes() == content + b"more"
    assert after(11) == ()


def test_bucket_that_is_not_there_is_a_users_error(bucket: str, tmp_path: Path) -> None:
    ws = bare(tmp_path, path="s3://nowhere/photos")
    with pytest.raises(UserError, match="inbox"):
        look(ws, ws.params().automation.inbox, Cursor({}, ()), 0.0, time.monotonic() + 600)
