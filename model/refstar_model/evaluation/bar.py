"""One bar: what is measured, and what is wanted."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Bar:
    """``value`` must be at least ``bar``, or at most where ``at_most``."""

    level: str
    name: str
    value: float
    bar: float
    at_most: bool = False

    @property
    def missed_by(self) -> float:
        """0 where the bar is met."""
        short = self.value - self.bar if self.at_most else self.bar - self.value
        return max(0.0, round(short, 4))

    @property
    def met(self) -> bool:
        return self.missed_by == 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"met": self.met, "missed_by": self.missed_by}
