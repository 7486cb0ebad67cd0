"""What a run says on the console: how far it is, how long it will take, and what it just measured."""

from collections.abc import Mapping
from math import isfinite

from refstar_model.progress import describe_seconds


def describe_progress(done: int, steps: int | None, speed: float, seconds_left: float) -> str:
    """``steps``: of the whole run, None where only the clock ends it; ``speed``: steps a second; ``seconds_left``: of
    this call, infinite where it has no limit."""
    said = f"step {done:,}" + ("" if steps is None else f" of {steps:,}")
    said += f", {speed:.2f} a second" if speed >= 1 else f", {1 / max(speed, 1e-9):.1f} s each"
    whole = float("inf") if steps is None else (steps - done) / max(speed, 1e-9)
    if isfinite(whole) and whole <= seconds_left:
        return f"{said}, {describe_seconds(whole)} left"
    if not isfinite(seconds_left):
        return said
    said += f", {describe_seconds(seconds_left)} left"
    if steps is None:
        return said
    return f"{said} in this call, which ends near step {done + int(seconds_left * speed):,}"


def describe_values(values: Mapping[str, float]) -> str:
    """Names and numbers, separated by commas."""
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
