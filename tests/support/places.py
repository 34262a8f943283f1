"""Where the tests' stores lie: in folders or, with VCLIP_TEST_STORES=s3, in a bucket on loopback (`make test-s3`)."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

IN_BUCKET = os.environ.get("VCLIP_TEST_STORES") == "s3"
BUCKET = "tested"


def contents_of(uri: str) -> Iterator[bytes]:
    """Yields every file or object of a store."""
    if not uri.startswith("s3://"):
        yield from (path.read_bytes() for path in Path(uri).rglob("*") if path.is_file())
        return
    client, prefix = _client(uri)
    for key in _keys(client, prefix):
        yield client.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def copy_store(uri: str, to: str) -> None:
    """Copies a store file by file, to where nothing is."""
    if not uri.startswith("s3://"):
        shutil.copytree(uri, to)
        return
    client, prefix = _client(uri)
    _, new = _client(to)
    for key in _keys(client, prefix):
        client.copy_object(Bucket=BUCKET, Key=new + key.removeprefix(prefix), CopySource=f"{BUCKET}/{key}")


def _client(uri: str):
    import boto3

    return boto3.client("s3"), uri.removeprefix(f"s3://{BUCKET}/").rstrip("/") + "/"


def _keys(client, prefix: str) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]
