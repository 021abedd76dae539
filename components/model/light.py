"""What a network sees of a photograph: light, in numbers that a network can learn from."""

from torch import Tensor


def standardise(images: Tensor) -> Tensor:
    """Images (B, C, H, W) uint8 to float32 with mean 0 and deviation 1 per image: an auto-gain for the network."""
    x = images.float()
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    deviation = x.std(dim=(1, 2, 3), keepdim=True)
    return (x - mean) / (deviation + 1.0)  # one grey level: a black image stays black
