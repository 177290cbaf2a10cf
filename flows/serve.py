"""The server that a flow needs, its schedule, and what can be refused before anything is started."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from lmk.errors import LmkError

SERVER_TIMEOUT = 120  # seconds
FAREWELL = 30  # seconds for the last lines of a log
# Run a command that Linux ends when the process that started it ends, however that ends.
_ENDS_WITH_US = (
    "import ctypes, os, signal, sys; ctypes.CDLL(None).prctl(1, signal.SIGTERM); "  # 1 is PR_SET_PDEATHSIG
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)


class CannotServe(LmkError):
    """A schedule or a server that cannot work."""


def check(cron: str | None) -> None:
    """Refuse a schedule or a server that cannot work, before anything is started."""
    address = get_current_settings().api.url
    if cron is not None:
        try:
            CronSchedule(cron=cron)
        except ValueError as cause:
            raise CannotServe(f'--cron {cron!r}: not a cron expression; five fields, as in "0 3 * * *"') from cause
    if address is not None and get_client(sync_client=True).api_healthcheck() is not None:
        raise CannotServe(
            f"{address}: no Prefect server answers there; start it, or unset PREFECT_API_URL to do without"
        )


def lost(cause: httpx.TransportError) -> LmkError:
    """What a run was about to tell a server that no longer answers; that it does not, if there was nothing else."""
    error: BaseException | None = cause
    while error is not None and not isinstance(error, LmkError):
        error = error.__context__
    return error or CannotServe(f"the Prefect server no longer answers ({cause}); what is done is kept, run it again")


def keep(flow: Flow[..., Any], repo: str, **schedule: Any) -> None:
    """Stay, and run a flow on a schedule: `cron=…`, or `interval=` seconds; while one run goes on no other starts."""
    flow.serve(
        name=flow.name,
        parameters={"repo": repo},
        global_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        pause_on_shutdown=False,  # so that the schedule outlives a restart
        **schedule,
    )


class _WithoutFarewell(logging.Filter):
    """Prefect says last of all that it stops its temporary server; there a reader looks for what failed."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Stopping temporary server")


logging.getLogger("prefect").addFilter(_WithoutFarewell())


@contextmanager
def server() -> Iterator[None]:
    """Start a Prefect server on the loopback where none is configured, which ends with this process, however that ends.

    The one that Prefect starts of its own accord schedules nothing, and outlives a flow that is killed.
    """
    if get_current_settings().api.url is not None:
        yield
        return
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", 4200)) == 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1] if taken else 4200)
    address = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    if sys.platform == "linux":  # else a flow that is killed leaves its server
        command = [sys.executable, "-c", _ENDS_WITH_US, str(os.getpid()), *command]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        with temporary_settings({PREFECT_API_URL: address}):
            started = time.monotonic()
            while get_client(sync_client=True).api_healthcheck() is not None:
                if process.poll() is not None or time.monotonic() - started > SERVER_TIMEOUT:
                    raise CannotServe(
                        f"{address}: the Prefect server did not start; try `python -m prefect server start`"
                    )
                time.sleep(0.5)
            print(f"Prefect server: http://127.0.0.1:{port}")
            try:
                yield
            finally:  # what it has not been told yet; later there is nobody to tell
                APILogWorker.drain_all(timeout=FAREWELL)
                EventsWorker.drain_all(timeout=FAREWELL)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
