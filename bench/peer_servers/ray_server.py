"""Ray Serve: one replica, batches of what waits."""

import asyncio
import logging
import os
import signal
from pathlib import Path

import ray
from graphs import Graphs, decoded, encoded
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(max_ongoing_requests=128, ray_actor_options={"num_cpus": 1})
class Restore:
    def __init__(self) -> None:
        self.graphs = Graphs(Path(os.environ["MODEL"]), threads=int(os.environ["THREADS"]))

    @serve.batch(max_batch_size=int(os.environ["BATCH"]), batch_wait_timeout_s=0.0)
    async def restore(self, files: list[bytes]) -> list[bytes]:
        return await asyncio.to_thread(self.work, files)

    def work(self, files: list[bytes]) -> list[bytes]:
        return [
            encoded(face) for face in self.graphs.restore([decoded(file, self.graphs.side) for file in files])
        ]

    async def __call__(self, request: Request) -> Response:
        form = await request.form()
        return Response(await self.restore(await form["image"].read()), media_type="image/jpeg")


if __name__ == "__main__":
    # Ray wants a processor for its proxy too, and would wait for one for ever on a machine of one core.
    cores = max(2, int(os.environ["THREADS"]))
    ray.init(
        num_cpus=cores, include_dashboard=False, object_store_memory=100 * 2**20, logging_level=logging.ERROR
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Restore.bind(), route_prefix="/restore")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
