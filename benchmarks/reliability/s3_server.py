"""An S3 server on loopback that counts requests that write; it kills the operation or refuses them at the n-th."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.reliability.children import SERVER
from benchmarks.reliability.faults import CALLS, COUNTING, KILL_AT, PROCESS, REFUSE_FROM, Control
from tests.support import ROOT
from tests.support.loopback import bucket_environment
from tests.support.places import BUCKET


@contextmanager
def s3_server(control: Control) -> Iterator[dict[str, str]]:
    """Yields the environment that names a server in a process of its own, which holds the empty bucket `BUCKET`."""
    command = [sys.executable, "-m", SERVER, str(control.path.resolve())]
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env, cwd=ROOT
    )
    assert server.stdout
    try:
        yield bucket_environment(server.stdout.readline().strip())
    finally:
        server.kill()
        server.wait()


def serve(control: Control) -> None:
    """Serves until the process ends; prints the address first."""
    import boto3
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    backend, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def counted(environ: dict[str, Any], start_response: Any) -> Any:
        cells = control.cells
        if cells[COUNTING] and environ["REQUEST_METHOD"] in ("PUT", "POST", "DELETE"):
            with lock:
                cells[CALLS] += 1
                number = int(cells[CALLS])
            if number == cells[KILL_AT]:
                os.kill(int(cells[PROCESS]), signal.SIGKILL)
                cells[COUNTING] = 0
                start_response("503 Killed", [("Content-Length", "0")])
                return [b""]
            if cells[REFUSE_FROM] and number >= cells[REFUSE_FROM]:
                body = b"<Error><Code>QuotaExceeded</Code><Message>bucket quota exceeded</Message></Error>"
                start_response("403 Forbidden", [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
                return [body]
        return backend(environ, start_response)

    server = make_server("127.0.0.1", 0, counted, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    os.environ.update(bucket_environment(address))
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    print(address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    serve(Control(Path(sys.argv[1])))
