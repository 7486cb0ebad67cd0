"""How many cores this process may use, and how its threads are shared out among them: the only place that decides.

A container's quota is not in the affinity mask, and onnxruntime, OpenCV and Python all take the machine's cores for
granted; a worker with two cores of sixty-four would then run on sixty-four threads and be throttled most of the time.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

#: Threads beyond this bring a look of the detector nothing: its pictures are small.
_MOST_FOR_DETECTOR = 4
#: Inferences side by side beyond this only take memory: each has several threads then.
_MOST_INFERENCES = 8


@dataclass(frozen=True)
class ThreadBudget:
    """Threads of one worker. None of them spins, so those that wait cost nothing and stages may share the cores."""

    model: int  # of an inference that is alone; 1 where another device computes
    inferences: int  # at the same time; where there are several, each has its share of the threads above
    faces: int | None  # in one of them; None: as many as a batch may have
    detector: int  # of one look at a picture, in the thread that decodes it
    pictures: int  # decode, find, paste and encode: one per core, each on a picture of its own
    opencv: int  # of one OpenCV call in any of those


def thread_budget(threads: int, *, on_cpu: bool, faces: int = 0, cores: int | None = None) -> ThreadBudget:
    """``threads`` and ``faces`` (of one inference): what the settings say, 0 = as many as there are cores, and what is
    best; ``on_cpu``: whether models run there.

    The setting is about inferences alone: pictures always have a thread per core. On a CPU, faces run side by side with
    a thread each rather than in batches: between the operators of a graph, threads wait for each other, and of two on
    two cores a quarter of the time went there.
    """
    cores = cores or available_cpus()
    model = (threads or cores) if on_cpu else 1
    return ThreadBudget(
        model=model,
        inferences=min(model, _MOST_INFERENCES),
        # A batch of 8 takes as long as 8 faces, a padded one longer, and its buffers eight times the memory.
        faces=faces or (1 if on_cpu else None),
        detector=min(threads or cores, _MOST_FOR_DETECTOR),
        pictures=cores,
        opencv=min(cores, _MOST_FOR_DETECTOR),
    )


def available_cpus(root: Path = Path("/")) -> int:
    """Cores this process may use: its affinity, and the quota of its cgroup (version 1 or 2) and those above it.

    Part of a core counts as one. ``root``: where /proc and /sys are.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _cgroups(root) if (quota := _quota(folder)) is not None]
    return max(1, min([cores, *(ceil(quota) for quota in quotas)]))


def _cgroups(root: Path) -> Iterator[Path]:
    """Folders of the groups that this process is in, each with those above it."""
    try:
        memberships = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return  # no Linux
    paths = {}  # by controllers: "" is version 2
    for line in memberships:
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            paths["cpu" if controllers else ""] = path
    for line in mounts:
        here, _, described = line.partition(" - ")
        kind, _, options = described.partition(" ")
        version = "" if kind == "cgroup2" else "cpu" if kind == "cgroup" else None
        if version not in paths or (version and "cpu" not in options.split()[-1].split(",")):
            continue
        inside, mount = here.split(" ")[3:5]
        # In a container the mount may show a part of the tree, and the path may be told from outside it.
        path = paths[version]
        own = path.removeprefix(inside.rstrip("/")).lstrip("/") if path.startswith(inside) else ""
        top = root / mount.lstrip("/")
        folder = top / own
        while True:
            yield folder
            if folder == top or top not in folder.parents:
                break
            folder = folder.parent


def _quota(folder: Path) -> float | None:
    """Cores' worth of time that a group may take; None: no limit here."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None  # "max" or -1
    return int(quota) / int(period)
