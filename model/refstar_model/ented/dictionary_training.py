"""Learning the dictionary: ``refstar-model train ented --part dictionary --out runs/dictionary``.

An autoencoder of good photographs, mirrored half of the time. Its words are fixed afterwards, and its encoder says
which word a degraded face should have had (``train ented --dictionary runs/dictionary/weights.pt``).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from refstar_model.data.credits import RECORD, credit_photos, record_training
from refstar_model.data.photo_stream import PhotoStream
from refstar_model.data.photos import PhotoSet, PhotoWeights
from refstar_model.ented.dictionary import DictionaryAutoencoder, measure_perplexity
from refstar_model.ented.params import SMALL, EntedParams
from refstar_model.layers.precision import autocast
from refstar_model.layers.pyramid import down
from refstar_model.losses.pixels import pixel_loss
from refstar_model.training import LoopParams, Loss, Moment, Run, Task, train_network
from refstar_model.training.processes import Course

_REVIVE_EVERY = 100  # steps; words that none of them used begin again at what the encoder says
_GRADIENT = 0.5


@dataclass(frozen=True)
class DictionaryTraining:
    network: EntedParams = SMALL
    loop: LoopParams = field(default_factory=lambda: LoopParams(steps=3000, learning_rate=5e-4))
    weights: PhotoWeights = field(default_factory=PhotoWeights)
    batch: int = 8
    seed: int = 0


def train_dictionary(photos: PhotoSet, how: DictionaryTraining, run: Run) -> Path:
    """Train on the photos' ``train`` people, in one process; returns the path of the averaged weights."""

    def build(device: torch.device) -> Task[Tensor]:
        module = DictionaryAutoencoder(how.network)
        usage = Usage(module)

        def open_batches(course: Course) -> Iterator[Tensor]:
            people = photos.split("train")
            size = how.network.base.size
            return iter(PhotoStream(people, how.weights, size, how.batch, how.seed, course, device))

        def step(photographs: Tensor, moment: Moment) -> Loss:
            return take_dictionary_step(module, photographs, usage, moment.done)

        record = record_training(credit_photos(photos.split("train"), how.weights), (run.start, run.previous))
        return Task(module, open_batches, step, {"params": how.network.to_dict(), RECORD: record})

    return train_network(build, how.loop, run, how.seed).write(run.weights)


def take_dictionary_step(
    module: DictionaryAutoencoder, photographs: Tensor, usage: "Usage", done: int
) -> Loss:
    """The loss of one batch, uint8 [B, 3, S, S]: the picture at a quarter of the size, and the quantizer's own."""
    pictures = photographs.float() / 255
    with autocast(pictures.device):
        features = module.look(pictures)
        code = module.words(features)
        drawn = module.draw(code.values)
    usage.count(code.indices, features)
    truth = down(down(pictures))
    terms = {"pixels": pixel_loss(drawn, truth, _GRADIENT).mean(), "words": code.loss}
    parts = {name: float(value.detach()) for name, value in terms.items()}
    parts |= {
        "perplexity": measure_perplexity(usage.counts),
        "used": float((usage.counts > 0).float().mean()),
    }
    if done % _REVIVE_EVERY == _REVIVE_EVERY - 1:
        parts["revived"] = float(usage.revive())
    return torch.stack(list(terms.values())).sum(), parts


class Usage:
    """How often each word was the nearest since it was last asked, and the revival of those that never were.

    A word that no place is near gets no gradient and stays so: it begins again as one of the last batch's features.
    """

    def __init__(self, module: DictionaryAutoencoder) -> None:
        self.words = module.words
        self.counts = torch.zeros(len(self.words.codes), dtype=torch.int64)
        self._last: Tensor | None = None

    def count(self, indices: Tensor, features: Tensor) -> None:
        """indices [B, g, g] of the words, features [B, D, g, g] that they are nearest to."""
        self.counts += torch.bincount(indices.flatten(), minlength=len(self.counts)).cpu()
        self._last = features.detach().permute(0, 2, 3, 1).flatten(0, 2).float()

    def revive(self) -> int:
        """Returns how many words began again; the counts begin at 0."""
        dead = (self.counts == 0).nonzero().flatten()
        self.counts.zero_()
        if self._last is None or not len(dead):
            return 0
        chosen = torch.randint(len(self._last), (len(dead),))
        with torch.no_grad():
            fresh = self._last[chosen.to(self._last.device)].to(self.words.codes)
            self.words.codes[dead.to(self.words.codes.device)] = fresh + 0.01 * torch.randn_like(fresh)
        return len(dead)
