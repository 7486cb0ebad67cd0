"""What the caller chose."""

from __future__ import annotations

from dataclasses import dataclass

from refstar_service.jobs.job import Box, JobRequest


@dataclass(frozen=True)
class Knobs:
    """The choices of a job, whoever asks: HTTP or the command line. Values as `JobRequest` explains them."""

    faces: str
    fidelity: float
    reference_strength: float
    format: str
    quality: int
    boxes: tuple[Box, ...] = ()
    min_face: int = 24
    upscale: int = 1
    reference_face: str = "only"
    keep_location: bool = False

    @classmethod
    def of(cls, request: JobRequest) -> Knobs:
        return cls(
            faces=request.faces,
            fidelity=request.fidelity,
            reference_strength=request.reference_strength,
            format=request.format,
            quality=request.quality,
            boxes=request.boxes,
            min_face=request.min_face,
            upscale=request.upscale,
            reference_face=request.reference_face,
            keep_location=request.keep_location,
        )
