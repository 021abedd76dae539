"""What the recogniser's presets cost, and the networks of the params files: `python -m benchmarks.presets` (seconds).

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


@dataclass(frozen=True)
class Whole:
    """What a params file would train: LLDif as it answers, and the baseline under the same remedies."""

    experiment: str
    channels: int
    size: int
    classes: int = 8


WHOLES = (
    Whole("demo", 3, 48, classes=7),
    Whole("ferplus-mini", 1, 48),
    Whole("ferplus-dev", 1, 48),
    Whole("ferplus", 1, 48),
    Whole("rafdb", 3, 64, classes=7),
    Whole("kdef", 3, 64, classes=7),
    Whole("paper", 3, 112, classes=7),
)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"| {'preset':6} | {'landmarks':13} | {'images':6} | {'faces':10} | {'parameters':>10} | {'MFLOP':>9} |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        parameters, operations = cost_of(case)
        faces = f"{case.size} px {'grey' if case.channels == 1 else 'rgb'}"
        print(
            f"| {case.preset:6} | {case.landmarks:13} | {case.images:6} | {faces:10} "
            f"| {parameters:10,} | {operations / 1e6:9,.1f} |"
        )

    print()
    print(f"| {'params':13} | {'network':14} | {'faces':10} | {'parameters':>10} | {'MFLOP':>9} |")
    print("|---|---|---|---|---|")
    for whole in WHOLES:
        faces = f"{whole.size} px {'grey' if whole.channels == 1 else 'rgb'}"
        for name, (parameters, operations) in costs_of(whole).items():
            print(f"| {whole.experiment:13} | {name:14} | {faces:10} | {parameters:10,} | {operations / 1e6:9,.1f} |")


def costs_of(whole: Whole) -> dict[str, tuple[int, int]]:
    """Parameters and operations of LLDif and of the plain recogniser of a params file."""
    params = experiment.load(PARAMS / f"{whole.experiment}.yaml")
    shape = (whole.size, whole.size, whole.channels)
    faces = FacesConfig(classes=tuple(f"class {number}" for number in range(whole.classes)), shape=shape)
    image = torch.zeros(1, whole.channels, whole.size, whole.size, dtype=torch.uint8)
    networks = {"LLDif": LLDif(params.model, params.diffusion, faces), "plain": Plain(params.model, faces)}
    return {name: cost(network.requires_grad_(False), image) for name, network in networks.items()}


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
