"""Make the README's pictures: degraded.jpg, reference.jpg, and example.png from a restoration of them.

    .venv/bin/python docs/example/make.py

The portrait is NASA's of Eileen Collins, public domain, from scikit-image. There is only one of her in it, so the
reference is the same photograph mirrored, turned and relit: an easy case, which shows the product and proves nothing.
What it does with truly different photographs is in docs/training.md.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from refstar_model.data.degradation import Chain, Family, Jpeg, Recipe, degrade
from refstar_service.app.cli import run

HERE = Path(__file__).parent
POINTS = np.array([[203, 101], [247, 101], [226, 121], [207, 143], [241, 143]], np.float32)
TEMPLATE = np.array(
    [[192.98, 239.95], [318.90, 240.19], [256.63, 314.01], [201.26, 371.41], [313.09, 371.15]], np.float32
)


def main() -> None:
    matrix, _ = cv2.estimateAffinePartial2D(POINTS, TEMPLATE, method=cv2.LMEDS)
    warp = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REFLECT_101}
    face = cv2.warpAffine(skimage.data.astronaut(), matrix, (512, 512), **warp)
    rng = np.random.default_rng(3)
    chain = Chain(blur=9, down=12, noise=8, jpeg=Jpeg(60))
    degraded = degrade(face, Recipe(Family.PRESENT, chain), rng)
    turned = cv2.warpAffine(
        np.ascontiguousarray(face[:, ::-1]), cv2.getRotationMatrix2D((256, 300), 3, 1.02), (512, 512), **warp
    )
    reference = np.clip(turned * np.array([1.05, 0.95, 0.85]), 0, 255).astype(np.uint8)
    save("degraded.jpg", degraded)
    save("reference.jpg", reference)

    for name, extra in (("none.png", []), ("restored.png", ["-r", str(HERE / "reference.jpg")])):
        arguments = [
            "restore",
            str(HERE / "degraded.jpg"),
            "-o",
            str(HERE / name),
            "--faces",
            "aligned",
            *extra,
        ]
        if run(arguments) != 0:
            sys.exit(1)
    row = [degraded, reference]
    for name in ("restored.png", "none.png"):
        row.append(cv2.imread(str(HERE / name))[..., ::-1])
        (HERE / name).unlink()
    row.append(face)
    titles = ("degraded", "reference", "restored with it", "restored without", "the original")
    cells = []
    for picture, title in zip(row, titles, strict=True):
        cell = np.full((540, 512, 3), 255, np.uint8)
        cell[:512] = picture
        cv2.putText(cell, title, (12, 533), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (40, 40, 40), 1, cv2.LINE_AA)
        cells.append(cv2.resize(cell, (256, 270), interpolation=cv2.INTER_AREA))
    save("example.png", np.hstack(cells))


def save(name: str, pixels: np.ndarray) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, 92] if name.endswith(".jpg") else []
    cv2.imwrite(str(HERE / name), pixels[..., ::-1], options)


if __name__ == "__main__":
    main()
