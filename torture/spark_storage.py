"""A build on a Spark cluster whose executors do not see the home.

To the processes of the cluster the home's folder is empty, so that files are exchanged by a bucket only, of
an S3 server on the loopback interface. A build is killed in the middle; the next one finishes. Its values are
those of a build by DuckDB, and the bucket is empty afterwards. Only root may hide a folder.

    python -m torture.spark_storage [--events N]
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from moto.server import ThreadedMotoServer

from benchmarks import engines, lakes
from benchmarks.harness import rounds
from benchmarks.harness.servers import HOST
from core.home import Home
from features.offline import snapshots
from features.offline.engines.exchange import place_of
from torture.spark_cluster import BUILD_S, building, cluster, expect, wait_for_a_file

STORAGE = "s3://shop/patron"


def main() -> None:
    parser = argparse.ArgumentParser(description="Builds by Spark whose executors do not see the home.")
    parser.add_argument("--events", type=int, default=200_000)
    arguments = parser.parse_args()
    with TemporaryDirectory() as name, bucket():
        folder, home, expected = Path(name), Home(Path(name) / "spark"), Home(Path(name) / "duckdb")
        rounds.apart(partial(lakes.make, home, arguments.events))
        shutil.copytree(home.path, expected.path)
        snapshots.build(expected, monthly=False)
        with cluster(folder, hidden=home.path) as (address, _):
            with building(home, address, folder) as build:
                wait_for_a_file(home.snapshots, "*.parquet", build)
                build.kill()
            expect(bool(left()), "the killed build left nothing in the bucket")
            with building(home, address, folder) as build:
                code = build.wait(BUILD_S)
                message = (folder / "build.log").read_text()
                expect(code == 0, f"the build ended with {code}: {message}")
        expect(not left(), f"the bucket has {left()}")
        engines.check(expected, home)
    print("executors that do not see the home computed the snapshots of DuckDB; the bucket is empty")


@contextmanager
def bucket() -> Iterator[None]:
    """An S3 server with the bucket, in the environment of all processes."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it prints every request
    server = ThreadedMotoServer(HOST, port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "patron", "AWS_SECRET_ACCESS_KEY": "secret", "PATRON_SPARK_STORAGE": STORAGE,
    }  # fmt: skip
    place_of(STORAGE)[0].mkdir("shop")
    try:
        yield
    finally:
        server.stop()


def left() -> list[str]:
    """The files in the bucket."""
    filesystem, path = place_of(STORAGE)
    filesystem.invalidate_cache()
    return list(filesystem.find(path))


if __name__ == "__main__":
    main()
