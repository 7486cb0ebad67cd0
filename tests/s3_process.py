"""A fake of S3, over HTTP."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

# In a process of its own, which ends with its standard input: its warnings and threads are no concern of these tests.
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def run_s3_server() -> Iterator[str]:
    """The address of an S3 server with the bucket `pictures`."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = f"http://127.0.0.1:{int(process.stdout.readline())}"
        with urllib.request.urlopen(urllib.request.Request(f"{address}/pictures", method="PUT")):
            pass
        yield address
        process.terminate()
