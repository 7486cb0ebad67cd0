"""Judging a model folder on pairs of photographs of people it has never seen.

Every pair is used in both directions: one photograph is degraded with a fixed seed, the other one is the right
reference; a wrong reference is a photograph of the next person in the list. Everything is compared at 256, the
size at which all truths are sharp, and by a recognizer that training has not used.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from refstar_model import metrics
from refstar_model.data.degradation import LEVELS, degrade
from refstar_model.data.photos import PhotoSet
from refstar_model.layers.pyramid import down
from refstar_model.recognition import Recognizer
from refstar_model.refstar.selection import face_window

Pixels = NDArray[np.uint8]
MEASURES = ("psnr", "ssim", "identity", "identity_to_reference", "sharpness")


@dataclass(frozen=True)
class Case:
    """One degraded face [512, 512, 3] with its references, and the truth [256, 256, 3]."""

    name: str
    low_quality: Pixels
    right: Pixels
    wrong: Pixels
    truth: Pixels
    similarity: float  # of truth and right reference, by the list's recognizer


class FolderModel:
    """The graphs of a model folder in onnxruntime, one face at a time."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.encode, self.restore = (
            onnxruntime.InferenceSession(
                str(folder / f"{n}.onnx"), options, providers=["CPUExecutionProvider"]
            )
            for n in ("encode_references", "restore")
        )
        self.features = [o.name for o in self.encode.get_outputs()]

    def __call__(
        self, low_quality: Pixels, references: list[Pixels], strength: float = 1.0, fidelity: float = 0.5
    ) -> tuple[Pixels, NDArray[np.uint8]]:
        """Restored [512, 512, 3] and selection [R, g, g]; no reference is one of weight 0."""
        pictures = np.stack(references) if references else np.zeros_like(low_quality)[None]
        outputs = self.encode.run(self.features, {"references": pictures})
        weight = np.full((1, len(pictures)), strength if references else 0.0, np.float32)
        restored, selection = self.restore.run(
            ["restored", "selection"],
            {
                "low_quality": low_quality[None],
                **{name: value[None] for name, value in zip(self.features, outputs, strict=True)},
                "reference_weight": weight,
                "fidelity": np.array([fidelity], np.float32),
            },
        )
        return restored[0], selection[0]


def cases(photos: PhotoSet, level: str, seed: int = 7) -> list[Case]:
    """All test cases of a level (``moderate`` or ``severe``) over the photos' pairs, both directions."""
    pairs = photos.pairs
    sharp = {p.file: p.sharp_at_512 for p in photos.photos}

    def picture(file: str) -> Pixels:
        if sharp[file]:
            return photos.read(file, 512)
        return np.asarray(
            cv2.resize(photos.read(file, 256), (512, 512), interpolation=cv2.INTER_CUBIC), np.uint8
        )

    made = []
    for index, pair in enumerate(pairs):
        stranger = next(p for p in pairs[index + 1 :] + pairs[:index] if p.person != pair.person)
        for direction, (truth, right) in enumerate(((pair.first, pair.second), (pair.second, pair.first))):
            rng = np.random.default_rng([seed, index, direction, sorted(LEVELS).index(level)])
            source = photos.read(truth, 512 if sharp[truth] else 256)
            low_quality = degrade(source, LEVELS[level](rng), rng)
            wrong = picture(stranger.first if direction == 0 else stranger.second)
            made.append(
                Case(truth, low_quality, picture(right), wrong, photos.read(truth, 256), pair.similarity)
            )
    return made


def band_transfer(low_quality: Pixels, reference: Pixels, sigma: float = 18.0, gain: float = 0.7) -> Pixels:
    """The control without weights: input + gain * (reference - blurred reference) in a soft face window."""
    detail = reference.astype(np.float32) - cv2.GaussianBlur(reference, (0, 0), sigma).astype(np.float32)
    window = face_window(512).numpy()[..., None]
    return np.clip(np.rint(low_quality + gain * window * detail), 0, 255).astype(np.uint8)


def evaluate(
    model: FolderModel,
    photos: PhotoSet,
    judge: Recognizer,
    sheets: Path | None = None,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Means per level and variant, as ``{level: {variant: {measure: value}}}`` with ``cases`` beside them.

    With ``sheets`` contact sheets (input | right | wrong | none | reference | truth) are written there.
    """
    table: dict[str, Any] = {}
    for level in sorted(LEVELS):
        scores: dict[str, list[dict[str, float]]] = {}
        distinct: dict[str, list[float]] = {}
        masks: dict[str, list[float]] = {"right": [], "wrong": []}
        rows: list[Pixels] = []
        made = cases(photos, level)
        for case in made:
            right, right_mask = model(case.low_quality, [case.right])
            wrong, wrong_mask = model(case.low_quality, [case.wrong])
            none, _ = model(case.low_quality, [])
            masks["right"].append(float(right_mask.mean()) / 255)
            masks["wrong"].append(float(wrong_mask.mean()) / 255)
            variants = {
                "input": case.low_quality,
                "right": right,
                "wrong": wrong,
                "none": none,
                "band transfer, right": band_transfer(case.low_quality, case.right),
                "band transfer, wrong": band_transfer(case.low_quality, case.wrong),
            }
            for name, restored in variants.items():
                reference = case.wrong if "wrong" in name else case.right
                score = _score(restored, reference, case.truth, judge)
                scores.setdefault(name, []).append(score)
                if case.similarity < 0.85:
                    distinct.setdefault(name, []).append(score["identity"])
            rows.append(
                np.hstack(
                    [_half(p) for p in (case.low_quality, right, wrong, none, case.right)] + [case.truth]
                )
            )
        table[level] = {
            name: {m: round(float(np.mean([s[m] for s in all_scores])), 4) for m in MEASURES}
            | {"identity_distinct_pictures": round(float(np.mean(distinct[name])), 4)}
            for name, all_scores in scores.items()
        }
        for name, values in masks.items():
            table[level][name]["mean_mask"] = round(float(np.mean(values)), 4)
        table["cases"] = len(made)
        if sheets is not None:
            sheets.mkdir(parents=True, exist_ok=True)
            for start in range(0, len(rows), 6):
                sheet = np.vstack(rows[start : start + 6])[..., ::-1]
                cv2.imwrite(str(sheets / f"{level}-{start // 6}.png"), sheet)
        report(markdown(table, level))
    return table


def markdown(table: dict[str, Any], level: str) -> str:
    lines = [
        f"| {level} | PSNR | SSIM | identity | identity, distinct pictures "
        "| to the reference | sharpness | mean mask |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, s in table[level].items():
        mask = f"{s['mean_mask']:.3f}" if "mean_mask" in s else ""
        lines.append(
            f"| {name} | {s['psnr']:.2f} | {s['ssim']:.3f} | {s['identity']:.3f} "
            f"| {s['identity_distinct_pictures']:.3f} | {s['identity_to_reference']:.3f} "
            f"| {s['sharpness']:.3f} | {mask} |"
        )
    return "\n".join(lines)


def write_quality(folder: Path, table: dict[str, Any]) -> None:
    """Put the measured table into the folder's ``model.json``."""
    path = folder / "model.json"
    manifest = json.loads(path.read_text())
    manifest["quality"] = table
    path.write_text(json.dumps(manifest, indent=2) + "\n")


def _score(restored: Pixels, reference: Pixels, truth: Pixels, judge: Recognizer) -> dict[str, float]:
    picture, wanted = down(_tensor(restored)), _tensor(truth)
    with torch.no_grad():
        own, true, other = (judge.embed(p) for p in (picture, wanted, _tensor(reference)))
    return {
        "psnr": float(metrics.psnr(picture, wanted)),
        "ssim": float(metrics.ssim(picture, wanted)),
        "identity": float((own * true).sum()),
        "identity_to_reference": float((own * other).sum()),
        "sharpness": float(metrics.sharpness(picture, wanted)),
    }


def _tensor(pixels: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255


def _half(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.resize(pixels, (256, 256), interpolation=cv2.INTER_AREA), np.uint8)
