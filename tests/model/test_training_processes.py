"""A training in several processes: they take one step together, and end together."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch
from refstar_model.training import Loop, LoopParams
from torch import nn

LAUNCH = "import sys; from refstar_model.training.processes import launch; launch(2, 'worker', sys.argv[1:])"

WORKER = """
import os, sys, torch
from pathlib import Path
from torch import nn
from refstar_model.training.processes import Processes
from refstar_model.training.clock import Clock
from refstar_model.training import Loop, LoopParams
folder, dies = Path(sys.argv[1]), int(sys.argv[2])
def exchanges():  # whether the threads of a process group are there
    return any("gloo" in name.read_text() for name in Path("/proc/self/task").glob("*/comm"))
with Processes() as processes:
    assert exchanges()
    torch.manual_seed(processes.rank)  # unlike weights at first: the first process's must win
    module = nn.Linear(2, 1)
    loop = Loop(module, LoopParams(steps=3, warmup=1), folder, processes=processes)
    def batches():
        for step in range(3):
            if processes.rank == 1 and step == dies:
                os.kill(os.getpid(), 9)
            yield torch.tensor([[1.0, 2.0]]) * (processes.rank + 1)
    loop.run(batches(), lambda item, _: (module(item).square().mean(), {}))
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1"
    torch.save((module.state_dict(), torch.get_num_threads()), folder / f"rank{processes.rank}.pt")
# A thread that is left may free a tensor as Python ends, which aborts the process.
assert not exchanges()
"""


def test_processes_take_the_steps_of_one_that_accumulates(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment["PYTHONPATH"] = str(tmp_path)
    command = [sys.executable, "-c", LAUNCH, str(tmp_path), "-1"]
    assert subprocess.run(command, env=environment, timeout=600, check=False).returncode == 0
    (one, threads), (two, _) = (
        torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert threads == max(1, len(os.sched_getaffinity(0)) // 2)
    assert (tmp_path / "log.jsonl").read_text().count("\n") == 1

    def resumed(steps: int) -> tuple[nn.Module, Loop]:
        torch.manual_seed(0)
        module = nn.Linear(2, 1)
        return module, Loop(module, LoopParams(steps=steps, warmup=1, accumulate=2), tmp_path / "alone")

    alone, loop = resumed(3)
    batches: list[object] = [torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 4.0]])] * 3
    loop.run(iter(batches), lambda item, _: (alone(item).square().mean(), {}))
    assert all(torch.allclose(value, one[name], atol=1e-6) for name, value in alone.state_dict().items())
    # What two processes saved, one goes on with.
    after, goes_on = resumed(4)
    goes_on.folder = tmp_path
    assert goes_on.resume()
    assert goes_on.done == 3
    assert all(torch.equal(value, one[name]) for name, value in after.state_dict().items())


RIVALS = """
import sys, torch
from pathlib import Path
from torch import nn
from refstar_model.training.processes import Processes
from refstar_model.training import Loop, LoopParams
class Rival:
    def __init__(self):
        self.module = nn.Linear(1, 1)
    def loss(self, step):  # asked in the first process only, then in the second only, then in none
        return (self.module(torch.ones(1, 1)).square().mean(), {}) if processes.rank == step else None
folder = Path(sys.argv[1])
with Processes() as processes:
    module, rival = nn.Linear(2, 1), Rival()
    first = rival.module.weight.detach().clone()
    loop = Loop(module, LoopParams(steps=3, warmup=1), folder, rival, processes=processes)
    loop.run(iter([torch.ones(1, 2)] * 3), lambda item, _: (module(item).square().mean(), {}))
    torch.save({"first": first, **rival.module.state_dict()}, folder / f"rank{processes.rank}.pt")
"""


def test_a_rival_that_only_one_process_asks_learns_in_all(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(RIVALS)
    command = [sys.executable, "-c", LAUNCH, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    assert subprocess.run(command, env=environment, timeout=120, check=False).returncode == 0
    one, two = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert torch.equal(one["weight"], two["weight"])
    assert torch.equal(one["bias"], two["bias"])
    assert not torch.equal(one["weight"], one["first"])


def test_when_one_process_is_killed_the_others_end(tmp_path: Path) -> None:
    workers = []
    for rank in range(2):  # without a launcher, which would end them
        group = {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1"}
        environment = os.environ | group | {"MASTER_PORT": "29517"}
        command = [sys.executable, "-c", WORKER, str(tmp_path), "1"]
        workers.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE))
    first, second = ((worker.communicate(timeout=600)[1], worker.returncode) for worker in workers)
    assert second[1] == -signal.SIGKILL
    assert first[1] == 1
    assert b"RuntimeError" in first[0]
