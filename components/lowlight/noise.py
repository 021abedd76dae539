"""Counter-based randomness: a number depends on its key, stream and position, never on who asked before.

So a face's noise is the same whatever the order, the batch, the device or the number of threads.
"""

import hashlib

import torch
from torch import Tensor


def keys_of(ids: list[str], exposures: list[float], draw: int) -> Tensor:
    """(B,) int64: one key per face id, exposure and draw (the fixed ladder is draw 0, training epoch n is draw n)."""
    digests = [
        hashlib.sha256(f"{identity}|{float(exposure)!r}|{draw}".encode()).digest()[:8]
        for identity, exposure in zip(ids, exposures, strict=True)
    ]
    return torch.tensor([int.from_bytes(digest, "little", signed=True) for digest in digests], dtype=torch.int64)


def uniform(keys: Tensor, stream: int, count: int) -> Tensor:
    """(B, count) float32 in the open interval (0, 1), 23 bits fine: with 24, the last one would round to 1."""
    low = (keys & 0xFFFFFFFF).to(torch.int64)
    high = (keys >> 32) & 0xFFFFFFFF
    low32, high32 = _wrap(low), _wrap(high ^ (stream * 0x9E3779B9 & 0xFFFFFFFF))
    position = torch.arange(count, dtype=torch.int32, device=keys.device)
    bits = _mix(_mix(position[None] ^ low32[:, None]) + high32[:, None])
    return (_shift(bits, 9).float() + 0.5) * 2.0**-23


def normal(keys: Tensor, stream: int, count: int) -> Tensor:
    """(B, count) float32, standard normal, by inversion."""
    return normal_quantile(uniform(keys, stream, count))


def normal_quantile(share: Tensor) -> Tensor:
    return torch.erfinv(2 * share - 1) * 2.0**0.5


def poisson_quantile(mean: Tensor, share: Tensor) -> Tensor:
    """The Poisson number that `share` of the distribution stays at or below; both (...), float32.

    Exact summation up to mean 8; above, Giles' expansion in the normal quantile (Algorithm 955, ACM TOMS 2016),
    which misses the exact integer in fewer than one case in a hundred, and then by one.
    """
    few = mean.clamp(max=8.0)
    probability = torch.exp(-few)
    cumulative = probability.clone()
    exact = torch.zeros_like(mean)
    # keeps the falling terms from becoming denormal numbers, which are fifty times slower and change nothing
    floor = torch.full((), 1e-30, device=mean.device)
    for number in range(1, 31):  # P(X > 30 | mean 8) < 1e-9
        exact += share > cumulative
        probability = torch.addcmul(floor, probability, few, value=1 / number)
        cumulative += probability
    z = normal_quantile(share)
    root = mean.clamp(min=8.0).sqrt()
    many = mean + root * z + (2 + z * z) / 6 - (2 * z + z**3) / (72 * root)
    return torch.where(mean <= 8, exact, many.floor().clamp(min=0))


def _mix(x: Tensor) -> Tensor:
    """A 32-bit mixing function with low bias (Wellons 2018: 16, 7feb352d, 15, 846ca68b, 16); int32 wraps around."""
    x = (x ^ _shift(x, 16)) * 0x7FEB352D
    x = (x ^ _shift(x, 15)) * (0x846CA68B - 2**32)
    return x ^ _shift(x, 16)


def _shift(x: Tensor, places: int) -> Tensor:
    """Logical shift to the right: int32 alone would drag its sign along."""
    return (x >> places) & (2 ** (32 - places) - 1)


def _wrap(x: Tensor) -> Tensor:
    """An unsigned 32-bit number, held in int64, as the int32 with the same bits."""
    return torch.where(x >= 2**31, x - 2**32, x).to(torch.int32)
