"""Who looks like whom: the wrong references that are hard to tell from right ones."""

import torch

from refstar_model.data.photos import PhotoSet
from refstar_model.judges.recognition import Recognizer

_AT_ONCE = 32


def find_lookalikes(photos: PhotoSet, recognizer: Recognizer, count: int = 8) -> dict[str, list[str]]:
    """For every file, the files of other people whose faces the recognizer finds most alike."""
    files = [p.file for p in photos.photos]
    people = [p.person for p in photos.photos]
    with torch.no_grad():
        rows = []
        device = next(recognizer.buffers()).device
        for start in range(0, len(files), _AT_ONCE):
            pictures = [torch.from_numpy(photos.read(f, 256)) for f in files[start : start + _AT_ONCE]]
            rows.append(recognizer.embed(torch.stack(pictures).to(device).permute(0, 3, 1, 2).float() / 255))
        cosine = (torch.cat(rows) @ torch.cat(rows).T).cpu()
    same = torch.tensor([[a == b for b in people] for a in people])
    best = cosine.masked_fill(same, -2).topk(count, 1).indices
    return {file: [files[int(i)] for i in row] for file, row in zip(files, best, strict=True)}
