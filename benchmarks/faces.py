"""The embedded faces: how fast they are drawn, and how well a small network reads them in the light and in the dark.

    python -m benchmarks.faces                                   # about 6 minutes on one core
    python -m benchmarks.faces --sheet docs/embedded-faces.png   # only draws the sheet

The network is trained twice from the same start, on clean faces and on faces photographed at one exposure by the
camera of params/demo.yaml; each time it is tested on faces of unseen subjects under the same light.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components import experiment
from components.data.faces import EMOTIONS, FACES_PER_SUBJECT, EmbeddedFace, render_faces
from components.data.table import Faces, face_id
from components.learning.batches import Batches, epoch_batches, on_device
from components.learning.inference import logits
from components.lowlight.camera import Camera
from components.records import CLEAN
from flows.sheets import contact_sheet, png

PARAMS = Path(__file__).resolve().parents[1] / "params" / "demo.yaml"
SEED, PEAK_RATE = 1, 0.004
INTENSITIES, EACH = ("faint", "medium", "full"), 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="write a contact sheet there, and do nothing else")
    parser.add_argument("--train", type=int, default=12000, metavar="FACES")
    parser.add_argument("--test", type=int, default=2100, metavar="FACES")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--exposure", type=float, default=0.02)
    chosen = parser.parse_args()
    if chosen.sheet:
        chosen.sheet.parent.mkdir(parents=True, exist_ok=True)
        chosen.sheet.write_bytes(sheet())
        return
    torch.set_num_threads(1)
    seconds = time.process_time()
    train = in_memory("train", chosen.train)
    print(f"drawn: {chosen.train / (time.process_time() - seconds):.0f} faces/s a core", flush=True)
    test = in_memory("test", chosen.test)
    camera = experiment.load(PARAMS).camera
    for exposure in (CLEAN, chosen.exposure):
        seconds = time.process_time()
        recalls = measure(train, test, camera, exposure, chosen.epochs)
        each = ", ".join(f"{name} {recall:.3f}" for name, recall in zip(EMOTIONS, recalls, strict=True))
        print(f"exposure {exposure}: accuracy {np.mean(recalls):.3f} ({each})", end="; ")
        print(f"{time.process_time() - seconds:.0f} s of CPU", flush=True)


def in_memory(split: str, count: int) -> Faces:
    """Faces of a split as a training wants them."""
    faces = list(render_faces(SEED, split, count))
    images, labels = np.stack([face.pixels for face in faces]), np.array([face.label for face in faces])
    votes = np.eye(len(EMOTIONS), dtype=np.float32)[labels]
    return Faces([face_id(image) for image in images], images, labels, votes, EMOTIONS)


def small_network() -> nn.Module:
    """Four convolutions of stride 2, batch norm, global average: some 200,000 weights."""
    layers: list[nn.Module] = []
    for width_in, width in ((3, 24), (24, 48), (48, 96), (96, 144)):
        layers += [nn.Conv2d(width_in, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(144, len(EMOTIONS)))


class Scaled(nn.Module):
    """Bytes (B, 3, H, W) to logits (B, K): every picture by its own mean and spread, then the network."""

    def __init__(self) -> None:
        super().__init__()
        self.network = small_network()

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.float()
        spread, mean = torch.std_mean(pixels, dim=(1, 2, 3), keepdim=True)
        return self.network(((pixels - mean) / (spread + 1)).contiguous(memory_format=torch.channels_last))


def measure(train: Faces, test: Faces, camera: Camera, exposure: float, epochs: int) -> list[float]:
    """Recall of each emotion on test, after training under the same light."""
    torch.manual_seed(SEED)
    network = Scaled()
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_RATE, weight_decay=0.05)
    config = batches(exposure, shift_pixels=3, flip=True)
    steps = epochs * -(-len(train.ids) // config.size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.2)
    faces, unseen = (on_device(one, one.votes, torch.device("cpu")) for one in (train, test))
    for epoch in range(1, epochs + 1):
        for batch in epoch_batches(faces, config, camera, SEED, epoch):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(network(batch.images), batch.labels, label_smoothing=0.05)
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    unchanged = batches(exposure, shift_pixels=0, flip=False)
    answers, labels = [], []
    for batch in epoch_batches(unseen, unchanged, camera, SEED, 0):
        answers.append(logits(network, batch.images.permute(0, 2, 3, 1).numpy()).argmax(axis=1))
        labels.append(batch.labels.numpy())
    right = np.concatenate(answers) == np.concatenate(labels)
    return [float(right[np.concatenate(labels) == label].mean()) for label in range(len(EMOTIONS))]


def batches(exposure: float, shift_pixels: int, flip: bool) -> Batches:
    """Every face at one exposure."""
    return Batches(
        size=64, exposure_low=exposure, exposure_high=exposure, clean_share=0, shift_pixels=shift_pixels, flip=flip
    )


def sheet() -> bytes:
    """PNG of all emotions in rows, faint to full from left to right, no subject twice."""
    columns = [name for name in INTENSITIES for _ in range(EACH)]
    rows: list[list[EmbeddedFace]] = [[] for _ in EMOTIONS]
    seen: set[str] = set()
    for face in render_faces(SEED, "valid", 40 * len(columns) * FACES_PER_SUBJECT):
        row = rows[face.label]
        if len(row) < len(columns) and face.attributes["intensity"] == columns[len(row)] and face.subject not in seen:
            row.append(face)
            seen.add(face.subject)
        if all(len(row) == len(columns) for row in rows):
            break
    heads = [name if number % EACH == 0 else "" for number, name in enumerate(columns)]
    # without the last two bits, which nobody sees, the file is a third smaller
    pictures = [[face.pixels // 4 * 4 + 2 for face in row] for row in rows]
    return png(contact_sheet(pictures, list(EMOTIONS), heads, 1))


if __name__ == "__main__":
    main()
