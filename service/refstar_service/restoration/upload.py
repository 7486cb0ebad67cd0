"""A file as it was sent, and its pixels."""

from dataclasses import dataclass

from refstar_service.images import ImageError, ImageLimits, Picture
from refstar_service.images.decode import decode
from refstar_service.restoration.errors import StepError


@dataclass(frozen=True)
class Upload:
    """``sha256`` names its content; ``name`` is only for messages."""

    name: str
    data: bytes
    sha256: str

    def describe(self, role: str) -> str:
        """How messages call it: its ``role`` ("image", "reference 2") and its name, if it has one."""
        return f"{role} ({self.name})" if self.name else role

    def decode(self, role: str, limits: ImageLimits) -> Picture:
        """Its upright pixels; raises StepError with the slug of what is wrong with the file."""
        try:
            return decode(self.data, limits)
        except ImageError as error:
            raise StepError(error.code, f"{self.describe(role)}: {error.detail}") from error
