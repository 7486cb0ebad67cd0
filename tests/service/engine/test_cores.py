"""Cores by affinity and by the quota of the cgroup, as different systems show it."""

import os
from pathlib import Path

import pytest
from refstar_service.engine.cores import available_cpus, thread_budget


@pytest.fixture(autouse=True)
def _sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


def system(root: Path, cgroup: str, mountinfo: str, files: dict[str, str]) -> Path:
    written = {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mountinfo, **files}
    for name, text in written.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


V2 = "30 23 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct"


@pytest.mark.parametrize(("quota", "cores"), [("max", 16), ("200000", 2), ("150000", 2), ("20000", 1)])
def test_a_container_of_version_2_has_its_quota(tmp_path: Path, quota: str, cores: int) -> None:
    files = {"sys/fs/cgroup/cpu.max": f"{quota} 100000"}
    assert available_cpus(system(tmp_path, "0::/", V2, files)) == cores


def test_the_tightest_group_above_counts_in_version_2(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/pods.slice/cpu.max": "300000 100000",
        "sys/fs/cgroup/pods.slice/worker/cpu.max": "max 100000",
    }
    assert available_cpus(system(tmp_path, "0::/pods.slice/worker", V2, files)) == 3


def test_a_group_beside_ours_does_not_count(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/ours/cpu.max": "400000 100000",
        "sys/fs/cgroup/theirs/cpu.max": "100000 100000",
    }
    assert available_cpus(system(tmp_path, "0::/ours", V2, files)) == 4


@pytest.mark.parametrize(("quota", "cores"), [("-1", 16), ("250000", 3)])
def test_version_1_has_files_of_its_own(tmp_path: Path, quota: str, cores: int) -> None:
    group = "sys/fs/cgroup/cpu,cpuacct/service"
    files = {f"{group}/cpu.cfs_quota_us": quota, f"{group}/cpu.cfs_period_us": "100000"}
    membership = "5:memory:/elsewhere\n4:cpuset:/\n3:cpu,cpuacct:/service\n0::/"
    assert available_cpus(system(tmp_path, membership, V1, files)) == cores


def test_a_container_of_version_1_sees_its_own_part_of_the_tree(tmp_path: Path) -> None:
    mount = "32 31 0:29 /docker/0a1b /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu"
    files = {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}
    assert available_cpus(system(tmp_path, "3:cpu:/docker/0a1b", mount, files)) == 2


def test_a_hybrid_system_has_its_quota_in_either_tree(tmp_path: Path) -> None:
    mounts = f"{V1}\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
    group = "sys/fs/cgroup/cpu,cpuacct"
    files = {
        f"{group}/cpu.cfs_quota_us": "500000",
        f"{group}/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/unified/own/cpu.max": "900000 100000",
    }
    assert available_cpus(system(tmp_path, "2:cpu,cpuacct:/\n0::/own", mounts, files)) == 5


def test_a_quota_above_the_affinity_gives_no_more_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 7}, raising=False)
    files = {"sys/fs/cgroup/cpu.max": "800000 100000"}
    assert available_cpus(system(tmp_path, "0::/", V2, files)) == 2


def test_where_there_are_no_cgroups_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cpus(tmp_path) == 16


def test_on_a_cpu_the_model_has_every_core_and_pictures_a_thread_each() -> None:
    budget = thread_budget(0, on_cpu=True, cores=2)
    assert (budget.model, budget.pictures, budget.detector, budget.opencv) == (2, 2, 2, 2)


def test_on_a_cpu_faces_run_side_by_side_and_on_a_gpu_in_batches() -> None:
    budget = thread_budget(0, on_cpu=True, cores=2)
    assert (budget.inferences, budget.faces) == (2, 1)
    assert thread_budget(1, on_cpu=True, cores=2).inferences == 1
    assert thread_budget(0, on_cpu=True, cores=64).inferences == 8
    budget = thread_budget(0, on_cpu=False, cores=16)
    assert (budget.inferences, budget.faces) == (1, None)
    assert thread_budget(0, on_cpu=True, faces=4, cores=2).faces == 4


def test_the_setting_is_about_inferences_alone() -> None:
    budget = thread_budget(3, on_cpu=True, cores=16)
    assert (budget.model, budget.pictures, budget.detector) == (3, 16, 3)


def test_beside_a_gpu_the_cores_are_for_pictures() -> None:
    budget = thread_budget(0, on_cpu=False, cores=16)
    assert (budget.model, budget.pictures, budget.detector) == (1, 16, 4)
