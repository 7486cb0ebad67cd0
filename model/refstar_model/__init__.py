"""Training, evaluation and ONNX export. The service never imports this package, nor this one the service."""

import os

# Official builds of onnxruntime report home, with an id that stays, unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
