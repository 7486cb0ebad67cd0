"""What the measurements stand on: rates, pictures, the model that computes nothing, tables in the docs."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.restorer import FaceTask, ReferencePicture, Restorer
from refstar_service.images import ImageLimits
from refstar_service.images.decode import decode
from refstar_service.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def bench_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))


@pytest.fixture
def samples() -> ModuleType:
    import samples

    return samples


def test_the_rate_of_results_that_come_in_batches_is_that_of_all_of_them() -> None:
    from bare import rate

    # Eight every two seconds, after a slow beginning and before a slow end.
    moments = [0.0, 5.0] + [10 + 2.0 * batch for batch in range(10) for _ in range(8)] + [40.0, 50.0]
    assert rate(moments, 2) == pytest.approx(4, rel=0.05)
    with pytest.raises(ValueError, match="too few"):
        rate(moments[:6], 2)


def test_the_noop_model_hands_the_face_back_and_takes_references(tmp_path: Path) -> None:
    from noop import SIDE, write_noop_model

    folder = write_noop_model(tmp_path, Settings().models_dir / "detector")
    restorer = Restorer(load_manifest(folder))
    restorer.warm_up()
    faces = np.random.default_rng(1).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    references = (ReferencePicture("one", faces[2]),)
    restored = restorer.restore([FaceTask(faces[0], references, 1.0, 0.5), FaceTask(faces[1], (), 1.0, 0.5)])
    assert [np.array_equal(one.pixels, face) for one, face in zip(restored, faces, strict=False)] == [
        True,
        True,
    ]
    assert restored[0].selection.shape[0] == 1
    assert restored[0].finite


def test_numbered_pictures_are_different_files_of_the_same_pixels(samples: ModuleType) -> None:
    face = (ROOT / "docs/example/degraded.jpg").read_bytes()
    files = [samples.unlike(face, number) for number in (1, 2)]
    assert files[0] != files[1]
    limits = ImageLimits()
    assert all(np.array_equal(decode(file, limits).pixels, decode(face, limits).pixels) for file in files)


@pytest.mark.parametrize(("megapixels", "faces"), [(0.5, 1), (2.0, 6)])
def test_the_photographs_have_the_size_that_they_say(
    samples: ModuleType, megapixels: float, faces: int
) -> None:
    reference = (ROOT / "docs/example/reference.jpg").read_bytes()
    height, width, _ = samples.photograph(megapixels, faces, reference).shape
    assert height * width == pytest.approx(megapixels * 1e6, rel=0.01)


def test_a_table_replaces_the_one_in_its_place_and_needs_a_place(tmp_path: Path) -> None:
    from report import Machine, Report, Table, fill

    path = tmp_path / "docs.md"
    path.write_text("before\n<!-- speed -->\nold\n<!-- /speed -->\nafter\n")
    machine = Machine("a cpu", 2, "3.11", "1.0", 0.1, "2026-01-01")
    for value in (1.5, 2.5):
        fill(path, Report("measure", (Table("speed", ("what", "1/s"), (("a", value),)),)), machine)
    text = path.read_text()
    assert "| a | 2.5 |" in text
    assert "old" not in text
    assert "1.5" not in text
    assert text.startswith("before\n")
    assert text.endswith("<!-- /speed -->\nafter\n")
    with pytest.raises(ValueError, match="'size'"):
        fill(path, Report("measure", (Table("size", ("what",), ()),)), machine)
