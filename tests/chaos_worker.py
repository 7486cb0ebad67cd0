"""Workers that are quick to replace: a process that has imported everything forks one per line that it reads.

python chaos_worker.py REDIS_URL STALE_AFTER    # stdin: names of workers; stdout: "name pid"; ends with stdin

Each is the real worker with the real pipeline; only the network is replaced, by one that inverts, takes its time, and
ends its process when it is given a poisonous face.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from inverting import Inverting
from refstar_service.blobs import RedisBlobs
from refstar_service.engine.restorer import FaceTask
from refstar_service.images import ImageLimits
from refstar_service.jobs import JobQueue, WorkerInfo
from refstar_service.metrics.registry import new_registry
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.redis.client import connect
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.steps import Model, Viewer
from refstar_service.worker.files import JobFiles
from refstar_service.worker.pipeline import Worker

SIDE = 16  # pixels
POISON = 255  # level of the blue channel that ends the process
RESULT_TTL = 600.0  # seconds
INFERENCE = 0.004  # seconds for a round of faces


def infer(tasks: Sequence[FaceTask]) -> None:
    if any(task.low_quality[0, 0, 2] == POISON for task in tasks):
        os._exit(9)
    time.sleep(INFERENCE)


async def work(url: str, name: str, stale_after: float) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    redis = connect(url)
    queue = JobQueue(redis, stale_after=stale_after, result_ttl=RESULT_TTL, worker=name)
    worker = Worker(
        queue,
        JobFiles(RedisBlobs(redis), RESULT_TTL),
        {"refstar": Model(Inverting(infer), SIDE)},
        WorkerInfo(name, ("refstar",), "cpu", time.time()),
        metrics=WorkerMetrics.on(new_registry()),
        viewer=Viewer(None, ReferenceMemory(), ImageLimits()),
        max_batch=8,
        max_batch_pixels=10**8,
        picture_threads=1,
    )
    await worker.run(stopping)
    await queue.aclose()
    await redis.aclose()


def bury(*_: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main() -> None:
    url, stale_after = sys.argv[1], float(sys.argv[2])
    signal.signal(signal.SIGCHLD, bury)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            code = 1
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                asyncio.run(work(url, line.strip(), stale_after))
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        print(line.strip(), pid, flush=True)


if __name__ == "__main__":
    main()
