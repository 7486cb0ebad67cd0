"""BentoML: one worker. Its batches are for endpoints that take lists, so not for an upload of one file.

Started by `bentoml serve bentoml_server:Restore`.
"""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from graphs import Graphs, decoded, encoded

Jpeg = Annotated[Path, ContentType("image/jpeg")]


@bentoml.service(workers=1, threads=2, traffic={"timeout": 300}, logging={"access": {"enabled": False}})
class Restore:
    def __init__(self) -> None:
        self.graphs = Graphs(Path(os.environ["MODEL"]), threads=int(os.environ["THREADS"]))

    @bentoml.api(route="/restore")
    def restore(self, image: Jpeg, context: bentoml.Context) -> Jpeg:
        face = self.graphs.restore([decoded(image.read_bytes(), self.graphs.side)])[0]
        with tempfile.NamedTemporaryFile(dir=context.temp_dir, suffix=".jpg", delete=False) as file:
            file.write(encoded(face))
        return Path(file.name)
