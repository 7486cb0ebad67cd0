"""What a training run says of itself: lines in ``log.jsonl`` and on the console, sheets as PNG in ``sheets/``, and
both in TensorBoard (``board/``) where it is installed."""

import json
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from torch import Tensor


class Journal:
    def __init__(self, folder: Path, step: int, speaks: bool = True) -> None:
        """``step``: where the run starts; TensorBoard forgets what an earlier slice wrote after it.

        With ``speaks`` False (every process but the first) nothing is written.
        """
        self.folder, self.speaks = folder, speaks
        self.log = (folder / "log.jsonl").open("a") if speaks else None
        self.board = _board(folder / "board", step) if speaks else None

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.log is not None:
            self.log.close()
        if self.board is not None:
            self.board.close()

    def say(self, text: str) -> None:
        """A line on the console only."""
        if self.speaks:
            print(text, flush=True)

    def line(self, step: int, values: dict[str, float], said: str) -> None:
        """``values`` for programs, and the same in words for who looks at the console."""
        if self.log is None:
            return
        self.log.write(json.dumps({"step": step, **values}) + "\n")
        self.log.flush()
        self.say(said)
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def sheet(self, step: int, picture: Tensor) -> None:
        """Keep a picture [3, h, w] in 0..1."""
        if not self.speaks:
            return
        folder = self.folder / "sheets"
        folder.mkdir(exist_ok=True)
        pixels = (picture.detach().float().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        cv2.imwrite(str(folder / f"{step:07d}.png"), np.ascontiguousarray(pixels[..., ::-1]))
        if self.board is not None:
            self.board.add_image("sheet", pixels, step, dataformats="HWC")


def carry_journal(run: Path, to: Path) -> None:
    """Copy a run's log, and its newest sheet as ``sheet.jpg``, into the folder ``to``."""
    to.mkdir(parents=True, exist_ok=True)
    if (run / "log.jsonl").is_file():
        shutil.copyfile(run / "log.jsonl", to / "log.jsonl")
    if sheets := sorted((run / "sheets").glob("*.png")):
        cv2.imwrite(str(to / "sheet.jpg"), cv2.imread(str(sheets[-1])), [cv2.IMWRITE_JPEG_QUALITY, 92])


def _board(folder: Path, step: int) -> Any:
    """A TensorBoard writer, or None where tensorboard (extra ``train``) is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step)
