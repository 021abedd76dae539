"""What the recogniser's presets cost, and the networks of the params files: `python -m benchmarks.presets` (a minute).

Parameters are all there are, frozen ones too; operations are floating-point ones (two a multiply-add) of one forward
pass of one face, of convolutions and products of matrices. Papers often count multiply-adds and call them FLOP. The
recogniser's are LLformer alone, on the image; a params file's are the whole of what answers, on all planes that its
form of light makes of the image, one chain, one side.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch

from components import experiment
from components.data import sources
from components.model.baselines import Plain
from components.model.lldif import FacesConfig, LLDif
from components.model.llformer import LLformer, LLformerConfig
from components.model.presets import cost

PARAMS = Path(__file__).resolve().parents[1] / "params"


@dataclass(frozen=True)
class Case:
    preset: str
    landmarks: str
    images: str
    channels: int
    size: int  # of the faces' side, in pixels
    classes: int = 8
    prior_channels: int = 64


CASES = (
    Case("tiny", "none", "own", 1, 48),
    Case("tiny", "none", "own", 3, 64),
    Case("tiny", "own", "own", 1, 48),
    Case("small", "none", "own", 1, 48),
    Case("small", "none", "own", 3, 64, classes=7),
    Case("base", "none", "own", 1, 48),
    Case("base", "none", "own", 3, 64),
    Case("base", "own", "own", 3, 64),
    Case("paper", "none", "own", 3, 224),
    Case("paper", "own", "own", 3, 224),
    Case("paper", "mobilefacenet", "ir50", 3, 112, classes=7, prior_channels=256),
    Case("paper", "mobilefacenet", "ir50", 3, 224, classes=7, prior_channels=256),
)


EXPERIMENTS = ("demo", "ferplus-mini", "ferplus-dev", "ferplus", "rafdb", "kdef", "paper")


@dataclass(frozen=True)
class Whole:
    """What a params file trains: LLDif as it answers, and the plain recogniser under the same remedies."""

    shape: tuple[int, int, int]  # H, W, C
    lldif: tuple[int, int]  # parameters, operations
    plain: tuple[int, int]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"| {'preset':6} | {'landmarks':13} | {'images':6} | {'faces':10} | {'parameters':>10} | {'MFLOP':>9} |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        parameters, operations = cost_of(case)
        print(
            f"| {case.preset:6} | {case.landmarks:13} | {case.images:6} | {pixels(case.size, case.channels):10} "
            f"| {parameters:10,} | {operations / 1e6:9,.1f} |"
        )

    print()
    print(f"| {'params':13} | {'network':14} | {'faces':10} | {'parameters':>10} | {'MFLOP':>9} |")
    print("|---|---|---|---|---|")
    for name in EXPERIMENTS:
        whole = whole_of(name)
        for network, (parameters, operations) in (("LLDif", whole.lldif), ("plain", whole.plain)):
            print(
                f"| {name:13} | {network:14} | {pixels(whole.shape[0], whole.shape[2]):10} "
                f"| {parameters:10,} | {operations / 1e6:9,.1f} |"
            )


def pixels(size: int, channels: int) -> str:
    return f"{size} px {'grey' if channels == 1 else 'rgb'}"


def whole_of(name: str) -> Whole:
    params = experiment.load(PARAMS / f"{name}.yaml")
    size = params.validation.image_size
    shape = (size.height, size.width, size.channels)
    faces = FacesConfig(classes=sources.classes(params.ingest), shape=shape)
    image = torch.zeros(1, size.channels, size.height, size.width, dtype=torch.uint8)
    networks = LLDif(params.model, params.diffusion, faces), Plain(params.model, faces)
    return Whole(shape, *(cost(network.requires_grad_(False), image) for network in networks))


def cost_of(case: Case) -> tuple[int, int]:
    """Parameters and operations of the recogniser of a case."""
    config = LLformerConfig.model_validate(
        {
            "preset": case.preset,
            "modulation": "residual",
            "landmarks": case.landmarks,
            "images": case.images,
            "drop_path": 0.0,
        }
    )
    network = LLformer(config, case.channels, case.prior_channels, case.classes, case.channels, frozen_landmarks=True)
    return cost(network, torch.zeros(1, case.channels, case.size, case.size), torch.zeros(1, case.prior_channels))


if __name__ == "__main__":
    main()
