"""The training loop on networks of a few numbers: it repeats, goes on, keeps the best, and feeds a rival."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import pytest
import torch
from refstar_model.training import Loop, LoopParams, Loss, Moment, Watch
from refstar_model.training.clock import Clock
from refstar_model.training.progress import describe_progress
from torch import Tensor, nn

PARAMS = LoopParams(steps=8, warmup=2, save_every=4, sheet_every=0)


class Critic:
    """A rival that wants its number to be what the module last said."""

    def __init__(self) -> None:
        self.module = nn.Linear(1, 1)
        self.said: Tensor | None = None

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]] | None:
        if self.said is None:
            return None
        return (self.module(self.said) - 1).square().mean(), {"critic": 0.0}


class Trainee:
    def __init__(self, folder: Path, params: LoopParams = PARAMS) -> None:
        torch.manual_seed(3)
        self.module, self.critic = nn.Linear(2, 1), Critic()
        self.loop = Loop(self.module, params, folder, self.critic)

    def step(self, item: object, moment: Moment) -> Loss:
        assert isinstance(item, Tensor)
        out = self.module(item + 0.1 * torch.randn(item.shape))
        self.critic.said = out.detach()
        return out.square().mean(), {"loss": float(out.detach().square().mean())}

    def numbers(self) -> Tensor:
        return torch.cat(
            [p.detach().flatten() for m in (self.module, self.critic.module) for p in m.parameters()]
        )


def stream(start: int, stop: int = 1000) -> Iterator[object]:
    for index in range(start, stop):
        yield torch.randn(4, 2, generator=torch.Generator().manual_seed(index))


def test_a_short_run_is_warm_after_a_tenth_of_it() -> None:
    long = LoopParams(steps=8000, warmup=500)
    assert long.warm_steps == 500
    assert long.rate(249, 0.0) == pytest.approx(long.learning_rate / 2)
    short = replace(long, steps=500)
    assert short.rate(short.warm_steps, 0.0) == short.learning_rate
    assert short.warm_steps == 50
    clocked = replace(long, by_clock=True)
    assert clocked.rate(3, 0.05) == pytest.approx(clocked.learning_rate / 2)
    assert clocked.rate(40, 0.5) == pytest.approx(clocked.learning_rate * 0.51)


def test_a_run_that_died_ends_where_one_without_a_break_does(tmp_path: Path) -> None:
    whole = Trainee(tmp_path / "whole")
    whole.loop.run(stream(0), whole.step)
    first = Trainee(tmp_path / "broken")
    with pytest.raises(StopIteration):  # the stream breaks off in the seventh step; the fourth was saved
        first.loop.run(stream(0, 6), first.step)
    second = Trainee(tmp_path / "broken")
    assert second.loop.resume()
    assert second.loop.done == 4
    second.loop.run(stream(4), second.step)
    assert torch.equal(second.numbers(), whole.numbers())
    for name, value in whole.loop.average.items():
        assert torch.equal(second.loop.average[name], value)


@pytest.mark.parametrize("rank", [0, 1])
def test_every_process_of_a_run_that_goes_on_draws_what_it_would_have_drawn(
    tmp_path: Path, rank: int
) -> None:
    draws: list[list[float]] = []

    def run(folder: Path, steps: int, rank: int) -> None:
        module = nn.Linear(2, 1)
        loop = Loop(module, replace(PARAMS, steps=steps), folder)
        loop.processes.rank = rank
        loop.begin(seed=5)

        def step(item: object, moment: Moment) -> Loss:
            draws[-1].append(float(torch.rand(())))
            return module(item).square().mean(), {}

        draws.append([])
        loop.run(stream(loop.done), step)

    run(tmp_path / "whole", 6, rank)
    run(tmp_path / "broken", 3, 0)  # the first process saves
    run(tmp_path / "broken", 6, rank)
    whole, first, rest = draws
    assert rest == whole[3:]
    assert (first == whole[:3]) == (rank == 0)
    assert len(set(whole)) == 6


def test_two_small_batches_make_the_step_of_one_large_one(tmp_path: Path) -> None:
    ends = []
    for accumulate in (1, 2):
        torch.manual_seed(0)
        module = nn.Linear(2, 1)
        loop = Loop(module, replace(PARAMS, steps=2, accumulate=accumulate), tmp_path / str(accumulate))
        halves = list(islice(stream(0), 4))
        batches = halves if accumulate == 2 else [torch.cat(halves[:2]), torch.cat(halves[2:])]  # type: ignore[arg-type]
        loop.run(iter(batches), lambda item, _, m=module: (m(item).square().mean(), {}))
        ends.append(module.weight.detach().clone())
    assert torch.allclose(*ends, atol=1e-6)


def test_the_best_averaged_weights_are_kept_and_looking_changes_nothing(tmp_path: Path) -> None:
    scores = iter([0.1, 0.9, 0.5, 0.2])
    seen: list[Tensor] = []

    def judge(module: nn.Module) -> dict[str, float]:
        assert not module.training
        torch.randn(3)  # a judge's own draws must not shift those of the run
        seen.append(module.weight.detach().clone())  # type: ignore[operator,union-attr]
        return {"score": next(scores), "psnr": 25.0}

    watched = Trainee(tmp_path / "watched", replace(PARAMS, judge_every=2, sheet_every=4))
    watched.loop.about = {"params": {"size": 64}}
    sheet = torch.linspace(0, 1, 3 * 8 * 8).reshape(3, 8, 8)
    watched.loop.run(stream(0), watched.step, watch=Watch(judge, lambda module: sheet))
    best = torch.load(tmp_path / "watched/best.pt", weights_only=True)
    assert (best["step"], best["params"], best["scores"]["score"]) == (4, {"size": 64}, 0.9)
    assert torch.equal(best["weights"]["weight"], seen[1])
    assert cv2.imread(str(tmp_path / "watched/sheets/0000004.png")).shape == (8, 8, 3)
    lines = [json.loads(line) for line in (tmp_path / "watched/log.jsonl").read_text().splitlines()]
    assert [line["val_score"] for line in lines if "val_score" in line] == [0.1, 0.9, 0.5, 0.2]

    alone = Trainee(tmp_path / "alone")
    alone.loop.run(stream(0), alone.step)
    assert torch.equal(watched.numbers(), alone.numbers())


def test_a_step_whose_gradient_is_not_finite_is_left_out(tmp_path: Path) -> None:
    module = nn.Linear(2, 2)
    before = module.weight.detach().clone()
    # sqrt at zero: the loss is finite, its gradient is not
    Loop(module, replace(PARAMS, steps=1), tmp_path).run(
        stream(0), lambda item, _: ((module.weight * 0).sum().sqrt(), {})
    )
    assert torch.equal(module.weight, before)


def test_a_new_run_can_start_at_the_weights_of_another(tmp_path: Path) -> None:
    other = nn.Linear(2, 1)
    trainee = Trainee(tmp_path)
    trainee.loop.start_from(other.state_dict())
    assert trainee.loop.done == 0
    assert torch.equal(trainee.module.weight, other.weight)
    assert torch.equal(trainee.loop.average["weight"], other.weight)


def test_what_lies_otherwise_in_memory_is_put_where_the_fused_step_looks_for_it(tmp_path: Path) -> None:
    def trained(path: Path, slices: tuple[int, ...]) -> Tensor:
        torch.manual_seed(0)
        for steps in slices:
            module = nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            with torch.no_grad():
                module.weight.copy_(torch.linspace(-1, 1, 135).reshape(5, 3, 3, 3))
            loop = Loop(module, LoopParams(steps=steps, warmup=1, final_rate=1.0, sheet_every=0), path)
            if loop.resume():
                state = torch.load(path / "checkpoint.pt", weights_only=True)
                assert state["optimizer"]["state"][0]["exp_avg"].is_contiguous()
            pictures = (torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(i)) for i in range(9))
            loop.run(
                iter(list(pictures)[loop.done :]), lambda item, _, m=module: (m(item).square().mean(), {})
            )
            state = torch.load(path / "checkpoint.pt", weights_only=True)
            for moments in state["optimizer"]["state"].values():
                moments.update({name: value.contiguous() for name, value in moments.items()})
            torch.save(state, path / "checkpoint.pt")
        return module.weight.detach().clone()

    assert torch.equal(trained(tmp_path / "whole", (4,)), trained(tmp_path / "broken", (2, 4)))


def test_a_run_goes_on_from_halves_that_came_from_another_machine(tmp_path: Path) -> None:
    there = Trainee(tmp_path / "there")
    there.loop.travel = tmp_path / "here"
    there.loop.params = replace(PARAMS, sheet_every=8)
    there.loop.run(stream(0), there.step, watch=Watch(show=lambda module: torch.rand(3, 8, 8)))
    assert cv2.imread(str(tmp_path / "here/sheet.jpg")).shape == (8, 8, 3)
    assert json.loads((tmp_path / "here/log.jsonl").read_text())["step"] == 8
    here = Trainee(tmp_path / "here")
    here.loop.params = replace(PARAMS, steps=12)
    assert here.loop.resume()
    assert here.loop.done == 8
    for name, value in there.loop.average.items():
        assert torch.allclose(here.loop.average[name], value, rtol=1e-3)
    assert torch.equal(here.module.weight, here.loop.average["weight"])
    kept, came = (t.loop.optimizer.state_dict()["state"][0] for t in (there, here))
    assert torch.allclose(came["exp_avg_sq"], kept["exp_avg_sq"], rtol=1e-2)
    assert came["step"] == kept["step"]
    assert torch.allclose(here.critic.module.weight, there.critic.module.weight, rtol=1e-3)
    here.loop.run(stream(8), here.step)
    assert here.loop.done == 12


def test_a_parcel_counts_only_where_it_is_further_than_the_checkpoint(tmp_path: Path) -> None:
    first = Trainee(tmp_path)
    first.loop.travel = tmp_path
    first.loop.run(stream(0), first.step)
    further = Trainee(tmp_path, replace(PARAMS, steps=10))
    assert further.loop.resume()
    further.loop.run(stream(8), further.step)
    again = Trainee(tmp_path)
    assert again.loop.resume()
    assert again.loop.done == 10
    assert torch.equal(again.numbers(), further.numbers())


def test_a_run_by_the_clock_ends_in_time_and_with_a_low_rate(tmp_path: Path) -> None:
    rates: list[float] = []
    trainee = Trainee(tmp_path, replace(PARAMS, steps=10**9, by_clock=True, save_every=0))

    def step(item: object, moment: Moment) -> Loss:
        rates.append(trainee.loop.optimizer.param_groups[0]["lr"])
        return trainee.step(item, moment)

    watch = Watch(lambda module: {"score": 1.0}, lambda module: torch.zeros(3, 8, 8))
    began = time.monotonic()
    trainee.loop.run(stream(0, 10**9), step, Clock(0.025), watch)
    assert time.monotonic() - began < 6
    assert rates[0] < max(rates)
    assert rates[-1] < 0.2 * max(rates)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert ["val_score" in line for line in lines].count(True) == 2  # halfway and at the end
    assert "val_score" in lines[-1]
    assert list((tmp_path / "sheets").iterdir())
    assert trainee.loop.resume()


def test_what_was_learned_by_the_clock_is_safe_before_anybody_looks_at_it(tmp_path: Path) -> None:
    trainee = Trainee(tmp_path, replace(PARAMS, steps=10**9, by_clock=True, save_every=0))
    trainee.loop.travel = tmp_path / "travel"
    looks: list[int] = []

    def judge(module: nn.Module) -> dict[str, float]:
        looks.append(trainee.loop.done)
        if len(looks) == 2:
            raise KeyboardInterrupt  # the lender's patience is over
        return {"score": 1.0}

    with pytest.raises(KeyboardInterrupt):
        trainee.loop.run(stream(0, 10**9), trainee.step, Clock(0.02), Watch(judge))
    assert json.loads((tmp_path / "travel/parcel.json").read_text())["about"]["done"] == looks[1]
    again = Trainee(tmp_path)
    assert again.loop.resume()
    assert again.loop.done == looks[1] > looks[0]


def test_time_is_left_for_what_comes_at_the_end() -> None:
    clock = Clock(0.01)
    assert not clock.over
    with clock.closing("save"):
        time.sleep(0.45)
    assert clock.over  # 0.15 s are left, which would not do for another one
    assert clock.share == 1.0


def test_no_step_is_begun_that_would_end_after_the_time() -> None:
    clock = Clock(0.01)
    with clock.step():
        time.sleep(0.35)
    assert clock.over  # 0.25 s are left


def test_the_console_says_how_long_it_will_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainee = Trainee(tmp_path, replace(PARAMS, line_seconds=0.0))
    trainee.loop.run(stream(0), trainee.step, watch=Watch(lambda module: {"score": 0.5}))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("step 1 of 8, ")
    assert " left: loss " in lines[0]
    assert "step 8, on val faces (the best so far, kept as best.pt): score 0.5" in lines
    assert lines[-1].startswith("done after 8 steps, ")
    trainee = Trainee(tmp_path / "stopped")
    trainee.loop.run(stream(0), trainee.step, Clock(0.0))
    assert "the time of this call is over at step 0 of 8" in capsys.readouterr().out


def test_weights_are_not_judged_where_that_would_take_longer_than_the_time_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainee, looks = Trainee(tmp_path, replace(PARAMS, judge_every=4)), []

    def judge(module: nn.Module) -> dict[str, float]:
        looks.append(trainee.loop.done)
        time.sleep(0.4)
        return {"score": 0.5}

    trainee.loop.run(stream(0), trainee.step, Clock(1 / 60), Watch(judge))
    assert looks == [4]
    assert trainee.loop.done < 8 or "too little time is left to judge" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("steps", "seconds_left", "said"),
    [
        (4200, float("inf"), "step 120 of 4,200, 2.0 s each, 2 h 16 min left"),
        (4200, 3420, "step 120 of 4,200, 2.0 s each, 57 min left in this call, which ends near step 1,830"),
        (None, 30, "step 120, 2.0 s each, 30 s left"),
        (None, float("inf"), "step 120, 2.0 s each"),
        (10**6, float("inf"), "step 120 of 1,000,000, 2.0 s each, 23 d 3 h left"),
    ],
)
def test_time_left_is_that_of_the_steps_or_of_the_call(
    steps: int | None, seconds_left: float, said: str
) -> None:
    assert describe_progress(120, steps, 0.5, seconds_left) == said
