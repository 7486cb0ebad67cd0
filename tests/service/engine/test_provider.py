"""What onnxruntime is told for each provider, and what is not accepted of it."""

import json
from pathlib import Path

import onnxruntime as ort
import pytest
from refstar_service.app.loading import gpu_options
from refstar_service.engine.errors import ProviderError
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.provider import (
    GpuOptions,
    Precision,
    Profile,
    Provider,
    engine_folder,
    provider_entries,
    refuse_cpu_work,
)
from refstar_service.engine.restorer import Restorer
from refstar_service.engine.session import _list_assignments, input_shapes
from refstar_service.engine.session_loader import profile_of
from refstar_service.settings import Settings
from small_model import SIDE, write_small_model

INPUTS = {
    "low_quality": ["batch", 512, 512, 3],
    "features_fine": ["batch", "references", 64, 64],
    "fidelity": ["batch"],
}


@pytest.mark.parametrize("provider", list(Provider))
def test_the_cpu_is_never_listed_beside_a_gpu(provider: Provider) -> None:
    names = [name for name, _ in provider_entries(provider, GpuOptions())]
    assert names[0] == provider.full_name
    assert ("CPUExecutionProvider" in names) == (provider is Provider.CPU)


def test_a_gpu_is_told_to_search_quickly_and_to_keep_what_it_has() -> None:
    ((_, options),) = provider_entries(Provider.CUDA, GpuOptions())
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert options["arena_extend_strategy"] == "kSameAsRequested"
    assert (options["use_tf32"], options["prefer_nhwc"], options["enable_cuda_graph"]) == ("1", "0", "0")
    assert "gpu_mem_limit" not in options


def test_every_gpu_option_reaches_onnxruntime() -> None:
    chosen = GpuOptions(graphs=True, nhwc=True, tf32=False, memory_bytes=2**30)
    ((_, options),) = provider_entries(Provider.CUDA, chosen)
    assert (options["use_tf32"], options["prefer_nhwc"], options["enable_cuda_graph"]) == ("0", "1", "1")
    assert options["gpu_mem_limit"] == str(2**30)


def test_tensorrt_builds_one_engine_for_all_shapes_and_keeps_it(tmp_path: Path) -> None:
    profile = profile_of(INPUTS, rows=8, references=4)
    gpu = GpuOptions(graphs=True, engines=tmp_path)
    entries = provider_entries(Provider.TENSORRT, gpu, profile=profile)
    assert [name for name, _ in entries] == ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    options = entries[0][1]
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(tmp_path)
    assert options["trt_cuda_graph_enable"] == "1"
    assert options["trt_fp16_enable"] == "0"  # or it would compute norms in fp16 too
    assert options["trt_profile_min_shapes"] == "low_quality:1x512x512x3,features_fine:1x1x64x64,fidelity:1"
    assert options["trt_profile_opt_shapes"] == "low_quality:8x512x512x3,features_fine:8x1x64x64,fidelity:8"
    assert options["trt_profile_max_shapes"] == "low_quality:8x512x512x3,features_fine:8x4x64x64,fidelity:8"
    # TensorRT captures graphs itself; two that capture would be in each other's way.
    assert entries[1][1]["enable_cuda_graph"] == "0"


def test_options_are_text_as_onnxruntime_wants_them(tmp_path: Path) -> None:
    gpu = GpuOptions(True, True, True, 1, tmp_path)
    for provider in Provider:
        for _, options in provider_entries(provider, gpu, profile=profile_of(INPUTS, 2, 2)):
            assert json.loads(json.dumps(options)) == options
            assert all(isinstance(value, str) for value in options.values())


def test_sums_over_shapes_may_run_on_the_cpu() -> None:
    assigned = {"CUDAExecutionProvider": ["Conv", "Mul"], "CPUExecutionProvider": ["Shape", "Concat"]}
    refuse_cpu_work("restore.onnx", assigned, Provider.CUDA)


def test_work_that_a_gpu_does_not_take_is_named() -> None:
    assigned = {"CUDAExecutionProvider": ["Conv"], "CPUExecutionProvider": ["Shape", "GridSample", "Conv"]}
    with pytest.raises(ProviderError, match=r"all of restore\.onnx: Conv, GridSample would run on the CPU"):
        refuse_cpu_work("restore.onnx", assigned, Provider.CUDA)


def test_a_provider_that_takes_nothing_is_refused() -> None:
    with pytest.raises(ProviderError, match=r"TensorrtExecutionProvider takes no part of restore\.onnx"):
        refuse_cpu_work("restore.onnx", {"CUDAExecutionProvider": ["Conv"]}, Provider.TENSORRT)


def test_engines_are_kept_apart_by_all_that_they_fit(tmp_path: Path) -> None:
    def folder(
        gpu: str = "NVIDIA H200-sm90", runtime: str = "1.31", sha: str = "a" * 64, rows: int = 8
    ) -> Path:
        profile: Profile = profile_of(INPUTS, rows, 8)
        return engine_folder(tmp_path, gpu, runtime, sha, profile)

    others = [folder(gpu="NVIDIA L4-sm89"), folder(runtime="1.32"), folder(sha="b" * 64), folder(rows=16)]
    assert len({folder(), *others}) == 5
    assert folder() == folder()
    assert folder(gpu="../../a b").is_relative_to(tmp_path)
    assert ".." not in folder(gpu="../../a b").relative_to(tmp_path).parts


def test_each_precision_has_graphs_of_its_own() -> None:
    assert [p.graph("restore") for p in Precision] == ["restore", "restore_fp16", "restore_int8"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_small_model(tmp_path)
    return tmp_path / "refstar"


def test_where_the_nodes_of_a_real_session_run_is_seen(folder: Path) -> None:
    options = ort.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    providers = [Provider.CPU.full_name]
    session = ort.InferenceSession(str(folder / "restore.onnx"), options, providers=providers)
    assigned = _list_assignments(session)
    assert assigned["CPUExecutionProvider"].count("Conv") == 2
    refuse_cpu_work("restore.onnx", assigned, Provider.CPU)
    with pytest.raises(ProviderError, match="takes no part"):
        refuse_cpu_work("restore.onnx", assigned, Provider.CUDA)


def test_what_a_graph_takes_is_known_before_it_is_loaded(folder: Path) -> None:
    shapes = input_shapes(folder / "restore.onnx")
    assert shapes["features_picture"] == ["B", "R", 3, SIDE, SIDE]
    profile = profile_of(shapes, 4, 8)
    assert profile.least["features_picture"] == (1, 1, 3, SIDE, SIDE)
    assert profile.most["features_picture"] == (4, 8, 3, SIDE, SIDE)
    assert profile.most["reference_weight"] == (4, 8)


@pytest.mark.skipif("TensorrtExecutionProvider" in ort.get_available_providers(), reason="it is there")
def test_a_build_without_tensorrt_is_told_first_of_all(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="install the extra `gpu`"):
        Restorer(load_manifest(folder), Provider.TENSORRT, gpu=GpuOptions(engines=tmp_path / "engines"))
    assert not (tmp_path / "engines").exists()


def test_settings_reach_the_gpu(tmp_path: Path) -> None:
    chosen = Settings(
        provider="tensorrt",
        data_dir=tmp_path,
        gpu_graphs=True,
        gpu_nhwc=True,
        gpu_tf32=False,
        gpu_memory_mb=3,
    )
    assert gpu_options(chosen) == GpuOptions(True, True, False, 3 * 2**20, tmp_path / "engines")
    assert gpu_options(Settings(provider="cuda")).engines is None
