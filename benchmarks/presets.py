"""What the recogniser's presets cost: `python -m benchmarks.presets` (seconds).

Parameters are all there are, frozen ones too; operations are floating-point ones (two a multiply-add) of one forward
pass of one face, of convolutions and products of matrices. Papers often count multiply-adds and call them FLOP.
"""

import argparse
from dataclasses import dataclass

import torch

from components.model.llformer import LLformer, LLformerConfig
from components.model.presets import cost


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


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"| {'preset':6} | {'landmarks':13} | {'images':6} | {'faces':9} | {'parameters':>10} | {'MFLOP':>9} |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        parameters, operations = cost_of(case)
        faces = f"{case.size} px {'grey' if case.channels == 1 else 'rgb'}"
        print(
            f"| {case.preset:6} | {case.landmarks:13} | {case.images:6} | {faces:9} "
            f"| {parameters:10,} | {operations / 1e6:9,.1f} |"
        )


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
