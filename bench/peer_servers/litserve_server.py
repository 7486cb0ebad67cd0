"""LitServe: one worker process, batches of what waits."""

import os
from pathlib import Path
from typing import Any

import litserve
from fastapi import Request, Response
from graphs import Graphs, Pixels, decoded, encoded


class Restore(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.graphs = Graphs(Path(os.environ["MODEL"]), threads=int(os.environ["THREADS"]))

    def decode_request(self, request: Request) -> Pixels:
        form: Any = request  # what arrives here is the form of the request
        return decoded(form["image"].file.read(), self.graphs.side)

    def batch(self, inputs: list[Pixels]) -> list[Pixels]:
        return inputs

    def predict(self, x: list[Pixels]) -> list[Pixels]:
        return self.graphs.restore(x)

    def unbatch(self, output: list[Pixels]) -> list[Pixels]:
        return output

    def encode_response(self, output: Pixels) -> Response:
        return Response(encoded(output), media_type="image/jpeg")


if __name__ == "__main__":
    # A timeout that a client of the saturated server meets would count as a failure of ours.
    api = Restore(max_batch_size=int(os.environ["BATCH"]), batch_timeout=0.0, api_path="/restore")
    server = litserve.LitServer(api, accelerator="cpu", timeout=300)
    server.run(
        host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", generate_client_file=False
    )
