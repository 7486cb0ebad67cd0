"""FastAPI and onnxruntime, as one writes it in an afternoon: a session, a route, the thread pool of the framework."""

import os
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response, UploadFile
from graphs import Graphs, decoded, encoded

app = FastAPI()
graphs = Graphs(Path(os.environ["MODEL"]), threads=int(os.environ["THREADS"]))


@app.post("/restore")
def restore(image: UploadFile) -> Response:
    face = graphs.restore([decoded(image.file.read(), graphs.side)])[0]
    return Response(encoded(face), media_type="image/jpeg")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
