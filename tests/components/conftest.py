"""What the tests of the components share: small faces, a small model, tiny FER+ trees."""

import csv
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from components.data.faces import EMOTIONS, render_faces
from components.data.images import encode
from components.data.table import Faces, face_id
from components.learning import losses
from components.learning.batches import Batches
from components.learning.compute import Compute
from components.learning.objective import Objective, ObjectiveConfig
from components.learning.optim import OptimConfig
from components.learning.training import Course
from components.lowlight.camera import Camera
from components.lowlight.table import DarkFaces
from components.model.diffusion import DiffusionConfig
from components.model.layers import Modulation
from components.model.light import LightConfig
from components.model.lldif import FacesConfig, ModelConfig
from components.model.llformer import LLformerConfig
from components.model.prior import PriorConfig
from components.model.weights import WeightsConfig
from components.records import Face

Tree = Mapping[str, list[tuple[str, tuple[int, ...]]]]


@pytest.fixture(autouse=True)
def steady_torch() -> Iterator[None]:
    """One thread (these tensors are small) and a seed for every test; whatever a test sets is set back."""
    deterministic = torch.get_deterministic_debug_mode()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_deterministic_debug_mode(deterministic)


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def real_faces(repository: Path) -> Path:
    """The zip of real FER+ faces, which is not part of the repository."""
    path = repository.parent / "shared" / "data" / "ferplus-train-valid.zip"
    if not path.parent.is_dir():
        pytest.skip(f"real faces: there is no folder {path.parent}")
    return path


@pytest.fixture(scope="session")
def camera() -> Camera:
    return Camera(
        full_well_electrons=2000.0,
        read_noise_electrons=3.0,
        row_noise_electrons=0.5,
        adc_bits=10,
        gain_cap=64.0,
        target_mean=0.2,
        lobes=3,
        contrast_cap=3.0,
        colour="mosaic",
        unprocess=True,
        white_balance_error=0.1,
        jpeg_quality_low=80,
        jpeg_quality_high=95,
        jpeg_chroma_halved=True,
    )


@pytest.fixture(scope="session")
def noise_faces() -> Callable[..., list[Face]]:
    """Faces of random pixels, in one split: (split, count, shape, seed)."""

    def make(split: str, count: int, shape: tuple[int, ...] = (8, 8, 3), seed: int = 0) -> list[Face]:
        pixels = np.random.default_rng([seed, *split.encode()]).integers(0, 256, (count, *shape), dtype=np.uint8)
        return [
            Face(image, number % 3, tuple(np.eye(3)[number % 3].tolist()), split, f"{split}-s", f"{split}-{number}")
            for number, image in enumerate(pixels)
        ]

    return make


@pytest.fixture(scope="session")
def three_splits() -> Callable[..., list[Face]]:
    """5 faces of test, 4 of valid, 9 of train, in the order that a table wants: (noise_faces, shape)."""

    def make(noise_faces: Callable[..., list[Face]], shape: tuple[int, ...] = (8, 8, 3)) -> list[Face]:
        return [*noise_faces("test", 5, shape), *noise_faces("valid", 4, shape), *noise_faces("train", 9, shape)]

    return make


@pytest.fixture(scope="session")
def drawn_faces() -> Callable[[str, int], Faces]:
    """Embedded faces of a split in memory: (split, count)."""

    def draw(split: str, count: int) -> Faces:
        faces = list(render_faces(1, split, count))
        ids = [face_id(face.pixels) for face in faces]
        labels = np.array([f.label for f in faces])
        return Faces(ids, np.stack([f.pixels for f in faces]), labels, np.eye(7, dtype=np.float32)[labels], EMOTIONS)

    return draw


@pytest.fixture(scope="session")
def watched() -> Callable[[Faces], DarkFaces]:
    """Faces as the table of dark faces holds them, here undarkened."""
    return lambda faces: DarkFaces(
        faces.ids, np.ones(len(faces.ids)), faces.images, faces.labels, faces.votes, faces.classes
    )


@pytest.fixture(scope="session")
def small_model() -> Callable[..., ModelConfig]:
    """The smallest sizes that make sense: (label_input), and any other part of the config by name."""

    def make(label_input: bool = False, **changes: Any) -> ModelConfig:
        prior = PriorConfig(
            channels=16,
            clip=None,
            width=8,
            prompt="a {label} face",
            sees="dark",
            label_input=label_input,
            normalised=True,
        )
        parts = {
            "light": LightConfig(form="auto_gain", blurs=False, read_noise=0.0),
            "exposure_condition": False,
            "restorer": False,
            "prior": prior,
            "weights": WeightsConfig(ir50=None, mobilefacenet=None),
            "llformer": LLformerConfig(
                preset="tiny", modulation="residual", landmarks="none", images="own", drop_path=0.0
            ),
        }
        return ModelConfig(**(parts | changes))

    return make


@pytest.fixture(scope="session")
def stage_one_loss() -> Callable[..., losses.StageOneLoss]:
    """The plain form, and any term by name."""
    plain = {"clean_share": 0.0, "contrastive_weight": 0.5, "alignment_weight": 0.0, "darker_weight": 0.0}
    plain |= {"dark_text_weight": 0.0}
    plain |= {"label_dropout": 0.0, "prior_dropout": 0.0, "prior_noise": 0.0, "reconstruction_weight": 0.0}
    return lambda **changes: losses.StageOneLoss(**(plain | changes))


@pytest.fixture(scope="session")
def stage_two_loss() -> Callable[..., losses.StageTwoLoss]:
    """The plain form, and any term by name."""
    plain: dict[str, Any] = {"kl_weight": 1.0, "l1_weight": 0.1, "denoising_weight": 0.0, "pure_noise_share": 0.5}
    plain |= {
        "contrastive_weight": 0.0,
        "prior_dropout": 0.0,
        "stop_gradient": False,
        "prior_phase": 0.0,
        "teacher": "stage_one",
        "teacher_sees": "dark",
        "logit_weight": 0.0,
        "logit_temperature": 2.0,
    }
    plain |= {"feature_weight": 0.0, "reconstruction_weight": 0.0}
    return lambda **changes: losses.StageTwoLoss(**(plain | changes))


@pytest.fixture(scope="session")
def objective() -> Callable[..., Objective]:
    """Cross-entropy with the targets, for three classes equally common unless their shares are given."""

    def make(balance: str = "none", strength: float = 0.0, shares: tuple[float, ...] = (1 / 3,) * 3) -> Objective:
        config = ObjectiveConfig(targets="votes", balance=balance, strength=strength)
        return Objective(config, torch.tensor(shares).log())

    return make


@pytest.fixture(scope="session")
def awake() -> Callable[[nn.Module], nn.Module]:
    """A network whose recogniser heeds the prior, as it does from its first step on."""

    def wake(network: nn.Module) -> nn.Module:
        for module in network.modules():
            if isinstance(module, Modulation):
                nn.init.normal_(module.weights.weight, std=0.1)
        return network

    return wake


@pytest.fixture(scope="session")
def diffusion() -> Callable[..., DiffusionConfig]:
    """The paper's four steps, and any part by name."""
    plain = {"form": "chain", "steps": 4, "predicts": "z0", "blocks": 1}
    plain |= {"beta_low": 0.1, "beta_high": 0.99, "reverse_noise": False, "samples": 1, "voice": 0.0}
    return lambda **changes: DiffusionConfig(**(plain | changes))


@pytest.fixture(scope="session")
def embedded_faces() -> FacesConfig:
    return FacesConfig(classes=EMOTIONS, shape=(64, 64, 3))


@pytest.fixture(scope="session")
def course(camera: Camera) -> Callable[..., Course]:
    """A training of a few epochs, on one thread: a second gains little here, and costs much on a busy machine."""

    def make(
        epochs: int = 3, size: int = 32, kind: str = "muon", precision: str = "float32", rate: float = 0.02
    ) -> Course:
        batches = Batches(size=size, exposure_low=0.1, exposure_high=0.2, clean_share=0.1, shift_pixels=2, flip=True)
        optim = OptimConfig(kind=kind, adamw_rate=rate / 10, muon_rate=rate, weight_decay=0.02, warmup_share=0.05)
        return Course("train_prior", epochs, Compute(seed=1, threads=1, precision=precision), batches, camera, optim)

    return make


@pytest.fixture(scope="session")
def write_tree() -> Callable[..., Path]:
    """An official FER+ tree of grey 48x48 pictures, as a folder: (path, {folder: [(name, ten counts)]}, seed)."""

    def make(path: Path, tree: Tree, seed: int = 0) -> Path:
        for folder, rows in tree.items():
            text = io.StringIO()
            (path / folder).mkdir(parents=True)
            for name, counts in rows:
                csv.writer(text).writerow([name, "(0, 0, 48, 48)", *counts])
                generator = np.random.default_rng([seed, *f"{folder}/{name}".encode()])
                (path / folder / name).write_bytes(encode(generator.integers(0, 256, (48, 48), dtype=np.uint8)))
            (path / folder / "label.csv").write_text(text.getvalue(), encoding="utf-8")
        return path

    return make


@pytest.fixture(scope="session")
def zipped() -> Callable[[Path], Path]:
    """The zip of a folder, beside it."""

    def pack(folder: Path) -> Path:
        target = folder.with_suffix(".zip")
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    archive.write(path, Path("data") / path.relative_to(folder))
        return target

    return pack
