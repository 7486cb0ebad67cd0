"""Why a job cannot be done."""

from refstar_service.jobs.job import FaceReport, ReferenceReport


class StepRefused(ValueError):  # noqa: N818  a refusal is an answer, not a fault
    """``code`` is a problem slug, ``detail`` names the file and what was found.

    ``faces`` and ``references``: what was seen until then.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        faces: tuple[FaceReport, ...] = (),
        references: tuple[ReferenceReport, ...] = (),
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail, self.faces, self.references = code, detail, faces, references
