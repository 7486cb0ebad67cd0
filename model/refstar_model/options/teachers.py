"""Networks of others that teach and judge here. None is shipped: where each comes from, and which option names it."""

from dataclasses import dataclass
from pathlib import Path

from refstar_model.data.photos import roots_from_environment
from refstar_model.ranks import read_rank


@dataclass(frozen=True)
class Teacher:
    """``place``: below a folder that REFSTAR_DATA names; ``source``: whose it is, and under which license."""

    title: str
    place: Path
    source: str

    def find(self) -> Path | None:
        """The file below a folder that REFSTAR_DATA names; None where none has it."""
        paths = (root / self.place for root in roots_from_environment())
        return next((path for path in paths if path.is_file()), None)

    def require(self, path: Path | None, option: str) -> Path:
        """``path``, where it is a file; leaves the program with a word on where to get it."""
        if path is not None and path.is_file():
            return path
        missing = f"{option} is missing" if path is None else f"{option} {path} is no file"
        raise SystemExit(f"refstar-model: {missing}. {self.advise(option)}")

    def choose(self, path: Path | None, option: str, lost: str) -> Path | None:
        """``path`` where one is given; else a line says what is ``lost``, and it is done without."""
        if path is not None:
            return self.require(path, option)
        if read_rank() == 0:
            print(f"without {option}, {lost}. {self.advise(option)}", flush=True)
        return None

    def advise(self, option: str) -> str:
        return (
            f"{self.title} will do ({self.source}; docs/training.md, Networks of others): name it with {option}, or "
            f"put it at {self.place} in a folder that REFSTAR_DATA names"
        )


RECOGNIZER = Teacher(
    "MobileFace V3 as ONNX",
    Path("models/mobileface/mobileface_v3.onnx"),
    "MIT, https://github.com/becauseofAI/MobileFace",
)
JUDGE = Teacher(
    "MobileFace V2 as ONNX",
    Path("models/mobileface/mobileface_v2.onnx"),
    "MIT, https://github.com/becauseofAI/MobileFace",
)
YUNET = Teacher(
    "YuNet",
    Path("models/yunet/face_detection_yunet_2023mar.onnx"),
    "MIT, https://github.com/opencv/opencv_zoo",
)
MESH = Teacher(
    "MediaPipe's face mesh",
    Path("models/mediapipe/face_landmark.tflite"),
    "Apache-2.0, https://github.com/google-ai-edge/mediapipe",
)


def find_teachers() -> Path | None:
    """The folder ``models`` that has YuNet or the face mesh, below one that REFSTAR_DATA names."""
    found = (teacher.find() for teacher in (MESH, YUNET))
    return next((path.parent.parent for path in found if path is not None), None)


def in_folder(teacher: Teacher, folder: Path | None) -> Path | None:
    """Where ``--teachers FOLDER`` has the file of a teacher; None without a folder."""
    return None if folder is None else folder / teacher.place.relative_to("models")
