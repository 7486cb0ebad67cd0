"""A model: manifest, onnxruntime sessions, reference features, crops in and crops out."""

import os

# onnxruntime's official builds report home, with an id that stays, unless this is set before whoever imports it first.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
