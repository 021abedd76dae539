"""Peers: what every number of LLDif is read against. Each takes images (B, C, H, W) uint8 to logits (B, K).

All see what `model.light` says, and have about as many parameters as the recogniser without its prior: POSTER++ a
little fewer, those that restore first a tenth more, and the ensemble has three recognisers.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.model import light
from components.model.dlnet import DLNet
from components.model.layers import TransformerBlock, convolution, parameters_of
from components.model.light import Seen
from components.model.lldif import FacesConfig, GuidedRecogniser, ModelConfig
from components.model.presets import PRESETS, Three

Peer = Literal[
    "plain",
    "resnet18",
    "poster",
    "denoise_then_classify",
    "enhance_and_classify",
    "distilled",
    "ensemble",
    "clean_ceiling",
]

MEMBERS = 3


class Plain(GuidedRecogniser):
    """The same recogniser, with one learned constant in place of the prior."""

    def __init__(self, config: ModelConfig, faces: FacesConfig, restorer: bool = False) -> None:
        super().__init__(config.model_copy(update={"restorer": restorer}), faces)
        self.z = nn.Parameter(torch.ones(1, config.prior.channels))

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.see(images))

    def classify(self, seen: Seen) -> Tensor:
        return self.recognise(seen, self.z.expand(len(seen.planes), -1)).logits  # (B, K)


class ResNet18(nn.Module):
    """ResNet-18 (He et al. 2016) for faces of 48 to 64 px: a 3x3 stem of stride 1, and no pooling after it."""

    def __init__(self, config: ModelConfig, faces: FacesConfig, width: int) -> None:
        super().__init__()
        self.light = config.light
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.stem = nn.Sequential(*convolution(light.planes_of(config.light, faces.shape[2]), width, 1), nn.ReLU())
        self.stages = nn.Sequential(
            *(
                nn.Sequential(BasicBlock(before, after, stride), BasicBlock(after, after, 1))
                for before, after, stride in zip([width, *widths], widths, (1, 2, 2, 2), strict=False)
            )
        )
        self.head = nn.Linear(widths[-1], len(faces.classes))

    def forward(self, images: Tensor) -> Tensor:
        seen = light.see(images, self.light).planes.contiguous(memory_format=torch.channels_last)
        return self.head(self.stages(self.stem(seen)).mean(dim=(2, 3)))  # (B, K)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around an identity, or around a 1x1 convolution where the shape changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*convolution(before, after, stride), nn.ReLU(), *convolution(after, after, 1))
        changes = stride > 1 or before != after
        self.identity = nn.Sequential(*convolution(before, after, 1, side=1)) if changes else nn.Identity()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        # stride by hand: below 8 channels (AVX2, float32) oneDNN writes past its workspace in the backward pass of a
        # strided 1x1 convolution, and gradients are wrong or the process dead (uxlfoundation/oneDNN, issue 6035)
        identity = self.identity(x[:, :, :: self.stride, :: self.stride])
        return F.relu(identity + self.body(x))  # (B, C, H / stride, W / stride)


class Poster(nn.Module):
    """POSTER++ (Mao et al. 2023) without pretraining: landmarks ask the image at three scales, then a transformer.

    The landmark branch is a second small encoder that nobody tells what a landmark is. `widths` are the channels of
    the three scales of both branches.
    """

    def __init__(self, config: ModelConfig, faces: FacesConfig, widths: Three) -> None:
        super().__init__()
        self.light = config.light
        sizes = PRESETS[config.llformer.preset]
        places = 3 + sizes.fusion_depth
        drops = [config.llformer.drop_path * place / (places - 1) for place in range(places)]
        planes, token = light.planes_of(config.light, faces.shape[2]), sizes.token_channels
        self.dlnet = DLNet(
            replace(sizes.dlnet, channels=widths), planes, "own", "own", drops[:3], faces.shape[2], False
        )
        self.tokens = nn.ModuleList(nn.Linear(width, token) for width in widths)
        self.scale_embedding = nn.Parameter(torch.zeros(3, 1, token))
        self.fusion = nn.Sequential(
            *(
                TransformerBlock(token, sizes.fusion_heads, sizes.fusion_expansion, drops[place], place)
                for place in range(3, places)
            )
        )
        self.norm = nn.LayerNorm(token)
        self.head = nn.Linear(token, len(faces.classes))

    def forward(self, images: Tensor) -> Tensor:
        maps = self.dlnet(light.see(images, self.light).planes)
        height, width = maps[-1].shape[2:]
        tokens = [
            linear(F.adaptive_avg_pool2d(x, (height, width)).flatten(2).mT) + embedding
            for x, linear, embedding in zip(maps, self.tokens, self.scale_embedding, strict=True)
        ]
        return self.head(self.norm(self.fusion(torch.cat(tokens, dim=1))).mean(dim=1))  # (B, K)


class RestoredFirst(Plain):
    """The plain classifier on what a restorer made of the image.

    `joint`: the classifier's loss reaches the restorer too, as in LL-FER (Xie et al. 2025), which trains an enhancing
    network in cascade with the classifier. Otherwise the restorer learns from the clean image alone and the classifier
    from the labels alone, both from every face: the budget is not split.
    """

    def __init__(self, config: ModelConfig, faces: FacesConfig, joint: bool) -> None:
        super().__init__(config, faces, restorer=True)
        self.joint = joint

    def forward(self, images: Tensor) -> Tensor:
        return self.classify_restored(self.restored(self.see(images)))

    def classify_restored(self, restored: Seen) -> Tensor:
        return self.classify(restored if self.joint else restored._replace(planes=restored.planes.detach()))  # (B, K)


class Ensemble(nn.Module):
    """Plain classifiers that differ in their first weights; their mean probability (Lakshminarayanan et al. 2017)."""

    def __init__(self, config: ModelConfig, faces: FacesConfig) -> None:
        super().__init__()
        self.members = nn.ModuleList(Plain(config, faces) for _ in range(MEMBERS))

    def forward(self, images: Tensor) -> Tensor:
        """Log-probabilities (B, K)."""
        answers = torch.stack([member(images).log_softmax(dim=1) for member in self.members])
        return answers.logsumexp(dim=0) - math.log(MEMBERS)


def as_large_as_plain(make: Callable[[int], nn.Module], config: ModelConfig, faces: FacesConfig) -> nn.Module:
    """What `make` builds of the number (1, 2, ..: the more, the wider) that comes nearest to plain's parameters."""
    with torch.device("meta"):  # counted, not made
        wanted = parameters_of(Plain(config, faces))
        sizes = (parameters_of(make(number)) for number in itertools.count(1))
        known = [*itertools.takewhile(lambda size: size < wanted, sizes)]
        above = parameters_of(make(len(known) + 1))
    nearer_below = known and wanted - known[-1] < above - wanted
    return make(len(known) if nearer_below else len(known) + 1)


def _resnet18(config: ModelConfig, faces: FacesConfig) -> nn.Module:
    def make(number: int) -> ResNet18:
        return ResNet18(config, faces, 2 * number)

    return as_large_as_plain(make, config, faces)


def _poster(config: ModelConfig, faces: FacesConfig) -> nn.Module:
    unit = max(4, *PRESETS[config.llformer.preset].dlnet.heads)  # what heads divide

    def make(number: int) -> Poster:
        return Poster(config, faces, (unit * number, 2 * unit * number, 3 * unit * number))

    return as_large_as_plain(make, config, faces)


PEERS: dict[Peer, Callable[[ModelConfig, FacesConfig], nn.Module]] = {
    "plain": Plain,
    "resnet18": _resnet18,
    "poster": _poster,
    "denoise_then_classify": lambda config, faces: RestoredFirst(config, faces, joint=False),
    "enhance_and_classify": lambda config, faces: RestoredFirst(config, faces, joint=True),
    "distilled": Plain,  # by a teacher that its file does not hold
    "ensemble": Ensemble,
    "clean_ceiling": Plain,  # trained on clean faces alone: no peer, but what the dark takes away
}
