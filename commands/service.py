"""Commands for the service: run it, refresh its features, check and monitor it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from commands.common import (
    AsJson,
    EngineName,
    Exit,
    open_home,
    print_result,
    progress_bar,
    spark_cluster,
)
from commands.models import Model, model_names
from core.errors import PatronError

app = typer.Typer()


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Default: PATRON_HOST or 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Default: PATRON_PORT or 8000.", min=1, max=65535)] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Number of worker processes. Default: PATRON_WORKERS or 1.", min=1, max=64),
    ] = None,
) -> None:
    """Serve over HTTP until stopped."""
    import logging

    from console import server
    from serving import systemd
    from serving.settings import ServingSettings

    options = {"host": host, "port": port, "workers": workers}
    given = {name: value for name, value in options.items() if value is not None}
    settings = ServingSettings().model_copy(update=given)
    if not systemd.is_socket_passed():
        check_port(settings.host, settings.port)
    ready = f"serving on {settings.address}, console at /console, docs at /docs"
    server.serve(open_home(), settings, lambda: logging.getLogger("patron").info(ready))


@app.command()
def console(
    host: Annotated[str | None, typer.Option(help="Default: PATRON_HOST or 127.0.0.1.")] = None,
    port: Annotated[int, typer.Option(help="The port.", min=1, max=65535)] = 8001,
) -> None:
    """Serve the console alone, without the API and without a refresher, until stopped."""
    import logging

    from console import server
    from serving.settings import ServingSettings

    own = {"port": port, "refresher": "off", "workers": 1} | ({"host": host} if host else {})
    settings = ServingSettings().model_copy(update=own)
    check_port(settings.host, settings.port)
    ready = f"the console is on {settings.address}/console"
    server.serve_alone(open_home(), settings, lambda: logging.getLogger("patron").info(ready))


@app.command()
def refresh(
    once: Annotated[bool, typer.Option(help="Process what is pending, then end.")] = False,
    shard: Annotated[
        str, typer.Option(help="Of several refreshers: which share of the customers it takes, such as 2/4.")
    ] = "1/1",
    as_json: AsJson = False,
) -> None:
    """Keep features current until stopped: after each event, and for all customers each midnight."""
    import signal
    import threading

    from core import logging_setup
    from core.errors import PatronError
    from core.settings import FeatureSettings
    from features.live import refresher
    from features.live.shards import Shard

    share = Shard.parse(shard)
    if once and share.count > 1:
        raise PatronError("--once processes all customers; leave --shard out, and stop the refreshers before")
    home, stop = open_home(), threading.Event()
    shop = home.shop()
    if not shop.live:
        frozen = f"the clock of this shop is frozen at {shop.now():%Y-%m-%d %H:%M} UTC; nothing changes"
        print_result(as_json, {"refreshed": False, "reason": frozen}, frozen)
        return
    if once:
        done = refresher.refresh_once(home)
        print_result(
            as_json, {"refreshed": True, "messages": done}, f"all of {done:,} messages are in the features"
        )
        return
    logging_setup.configure(FeatureSettings().log_format)
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    refresher.refresh(home, stop, shard=share)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check each part: availability, version, lag, and what to do."""
    from serving.operations.doctor import examine

    checks = examine(open_home(tighten=False))
    lines = [
        f"{check.state:<8} {check.part:<20} {check.result}{f'; {check.advice}' if check.advice else ''}"
        for check in checks
    ]
    failed = any(check.state == "failed" for check in checks)
    done = {"checks": [check.as_dict() for check in checks]}
    print_result(as_json, done, "\n".join(lines), Exit.FAILED if failed else Exit.DONE)


@app.command()
def monitor(
    model: Model = "all",
    days: Annotated[int, typer.Option(min=1, help="How many days of scores to compare.")] = 30,
    engine: Annotated[
        EngineName, typer.Option(help="What counts the predictions; Spark at PATRON_SPARK_MASTER.")
    ] = EngineName.DUCKDB,
    as_json: AsJson = False,
) -> None:
    """Compare recent scores and features with those on which each champion was accepted."""
    from features.offline.engines.executors import connected_executors
    from models.registry.registry import Registry
    from monitoring import run

    home = open_home()
    home.shop()
    with ExitStack() as resources:
        progress, backend = resources.enter_context(progress_bar(as_json)), None
        if engine is EngineName.SPARK:
            executors = connected_executors(home, spark_cluster(), "it counted predictions")
            backend = resources.enter_context(executors).backend
        watched, absent = run.monitor(home, model_names(model), days, Registry(home), progress, backend)
    drifted = any(w.report.verdict == "drifted" for w in watched)
    done = {
        "reports": [
            w.report.as_dict() | {"json": str(w.json), "html": w.html and str(w.html)} for w in watched
        ],
        "absent": absent,
    }
    text = "\n".join([*(f"{w.report.words}\n  {w.html or w.json}" for w in watched), *absent.values()])
    print_result(as_json, done, text, Exit.CHECK_FAILED if drifted else Exit.DONE)


def check_port(host: str, port: int) -> None:
    """Check that a port is free before the service is built.

    Raises:
        PatronError: the port is in use, or the address is invalid.
    """
    import socket

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PatronError(
                f"cannot listen on {host}:{port} ({error.strerror}); stop the process that uses it, or"
                " choose another port with PATRON_PORT"
            ) from error
