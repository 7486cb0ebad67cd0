"""onnxruntime on the CPU, as all checks and judgements of this package use it."""

import onnxruntime


def start_session(graph: str | bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """``graph``: a file's path, or its bytes; 0 threads means one for each core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin while they wait take the cores from the judges, and from a training beside.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # No plan of which value takes over whose memory: it is most of what it takes to load a graph.
    options.enable_mem_reuse = False
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
