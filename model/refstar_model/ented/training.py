"""Training ENTED: ``refstar-model train ented --dictionary runs/dictionary/weights.pt --out runs/ented``.

Same photographs, pairs, wrong references and degradations as RefSTAR's. System 3, RefSTAR's person gate and the
dictionary are there already and are not trained: what is learned is what a reference and the words add to them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from refstar_model.data.batch import Batch
from refstar_model.data.credits import RECORD, credit_photos, record_training
from refstar_model.data.lookalikes import find_lookalikes
from refstar_model.data.photos import PhotoSet
from refstar_model.data.plan import Curriculum, SampleMix
from refstar_model.data.selection_masks import SelectionLabels
from refstar_model.data.stream import StreamParams, open_stream
from refstar_model.ented.dictionary import DictionaryAutoencoder
from refstar_model.ented.losses import LossWeights, attention_loss, code_term
from refstar_model.ented.network import Ented
from refstar_model.ented.params import SMALL, EntedParams
from refstar_model.ented.references import ReferenceTextures
from refstar_model.ented.weights import begin, load_dictionary, read_weights
from refstar_model.judges.recognition import Recognizer
from refstar_model.layers.alignment import alignment_loss
from refstar_model.layers.color import without_color
from refstar_model.layers.precision import autocast
from refstar_model.layers.pyramid import double_to, halve_to
from refstar_model.losses.adversary import Adversary, DiscriminatorParams
from refstar_model.losses.restoration import restoration_terms, sharpening_terms
from refstar_model.training import LoopParams, Loss, Moment, Run, Task, Watch, fade, train_network
from refstar_model.training.processes import Course

#: 60,000 faces at eight a step of two processes.
LOOP = LoopParams(steps=7500, learning_rate=5e-4, warmup=100, judge_every=500, sheet_every=500)
#: Few batches without references: of those only the dictionary learns. First what is plainly ruined: good pictures need
#: no reference. References as the service has them, aligned by five points: what is moved far is of no use to textures
#: of places.
STREAM = StreamParams(
    mix=SampleMix(alone=0.1, mirrored=0.4, moved=0.25), curriculum=Curriculum(ruined=0.25, itself=0.03)
)


@dataclass(frozen=True)
class EntedTraining:
    network: EntedParams = SMALL
    loop: LoopParams = field(default_factory=lambda: LOOP)
    stream: StreamParams = field(default_factory=lambda: STREAM)
    losses: LossWeights = field(default_factory=LossWeights)
    sharpening_from: float = 0.3  # share of the run
    discriminator: DiscriminatorParams = field(default_factory=DiscriminatorParams)
    #: weights.pt of --part dictionary. A new network with a dictionary needs it; one that goes on without it keeps how
    #: words are chosen.
    dictionary: Path | None = None
    backbone: Path | None = None  # weights.pt or model folder of system 3, which a new run is built around
    gate: Path | None = None  # the same of RefSTAR, whose person gate a new run has
    labels: Path | None = None  # points of the photos' pairs (selection_masks.py), which teach the alignment

    def go_on(self) -> "EntedTraining":
        """The same for a network that is trained already: all degradations and other photographs from the first step,
        and what sharpens."""
        return replace(self, stream=replace(self.stream, curriculum=Curriculum()), sharpening_from=0.0)


def train(
    photos: PhotoSet,
    recognizer: Recognizer | None,
    how: EntedTraining,
    run: Run,
    watch: Watch | None = None,
) -> Path:
    """Train on the photos' ``train`` people; returns the path of the averaged weights (``weights.pt``).

    ``recognizer`` gives the perceptual, style and identity losses, and the look-alikes. Raises ValueError where a new
    network is to have a dictionary and none is given, or a file does not fit.
    """
    if how.network.dictionary and how.dictionary is None and run.start is None:
        raise ValueError(
            "a new network with a dictionary needs one: train it with --part dictionary, and name its weights.pt"
        )

    def build(device: torch.device) -> Task[Batch]:
        module = Ented(how.network)
        dictionary = None
        if how.dictionary is not None:
            dictionary = load_dictionary(how.dictionary, how.network).to(device)
        adversary = Adversary(how.discriminator) if how.losses.adversarial else None
        judge = recognizer.to(device) if recognizer is not None else None

        def open_batches(course: Course) -> Iterator[Batch]:
            people = photos.split("train")
            alike = find_lookalikes(people, judge) if judge is not None else None
            labels = SelectionLabels.load(how.labels, masks=False) if how.labels is not None else None
            return open_stream(people, how.stream, course, device, alike, labels, how.network.reach * 512)

        def step(batch: Batch, moment: Moment) -> Loss:
            share = fade(moment.progress, how.sharpening_from)
            return training_step(module, batch, how.losses, dictionary, judge, adversary, share)

        weights = (
            read_weights(run.start, how.network)
            if run.start
            else begin(module, dictionary, how.backbone, how.gate)
        )
        given = credit_photos(photos.split("train"), how.stream.mix.weights)
        record = record_training(given, (run.start, how.dictionary, how.backbone, how.gate, run.previous))
        about = {"params": how.network.to_dict(), RECORD: record}
        module.fix(choice=dictionary is None)
        return Task(module, open_batches, step, about, adversary, weights=weights)

    return train_network(build, how.loop, run, how.stream.seed, watch).write(run.weights)


def training_step(
    module: Ented,
    batch: Batch,
    losses: LossWeights,
    dictionary: DictionaryAutoencoder | None = None,
    recognizer: Recognizer | None = None,
    adversary: Adversary | None = None,
    sharpening: float = 0.0,
) -> Loss:
    """The loss of one batch and its parts; ``sharpening`` 0..1 fades in what asks for detail."""
    low_quality = (batch.low_quality.float() / 255).contiguous(memory_format=torch.channels_last)
    truth = without_color(batch.truth.float() / 255, batch.colorless)
    terms: dict[str, Tensor] = {}
    with autocast(truth.device):
        if batch.alone:
            result = module(low_quality)
        else:
            references = batch.references.float() / 255
            count = references.shape[:2]
            encoded = module.encode(references.flatten(0, 1))
            features = ReferenceTextures(*(x.unflatten(0, count) for x in encoded))
            result = module(low_quality, features, batch.present.float())
    helped = (batch.right & batch.present).any(1)
    if result.distributed and bool(helped.any()):
        terms["attention"] = losses.attention * attention_loss(result.distributed.values(), truth, helped)
    if result.displacement is not None and batch.truth_points is not None:
        assert batch.reference_points is not None
        assert batch.points_known is not None
        terms["alignment"] = losses.alignment * alignment_loss(
            result.displacement, batch.truth_points, batch.reference_points, batch.points_known
        )
    if dictionary is not None and result.codes is not None:
        with torch.no_grad(), autocast(truth.device):
            wanted = dictionary.quantize(double_to(truth, low_quality.shape[-1])).indices
        terms["code"] = code_term(result.codes, wanted, module.dictionary, losses)
    picture = without_color(halve_to(result.picture, truth.shape[-1]), batch.colorless)
    terms |= restoration_terms(picture, truth, helped, losses, recognizer, module.params.grids[0])
    terms |= sharpening_terms(picture, truth, helped, losses, adversary, sharpening)
    total = torch.stack(list(terms.values())).sum()
    return total, {name: float(value.detach()) for name, value in terms.items()}
