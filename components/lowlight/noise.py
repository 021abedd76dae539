"""Counter-based randomness: a number depends on its key, stream and position, never on who asked before.

So a face's noise is the same whatever the order, the batch, the device or the number of threads.
"""

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

FEW = 4.0  # the mean up to which photons are counted one by one


def keys_of(ids: list[str], exposures: list[float], draw: int) -> Tensor:
    """(B,) int64: one key per face id, exposure and draw (of training, its epoch)."""
    digests = [
        hashlib.sha256(f"{identity}|{float(exposure)!r}|{draw}".encode()).digest()[:8]
        for identity, exposure in zip(ids, exposures, strict=True)
    ]
    return torch.tensor([int.from_bytes(digest, "little", signed=True) for digest in digests], dtype=torch.int64)


def uniform(keys: Tensor, stream: int, count: int) -> Tensor:
    """(B, count) float32 in the open interval (0, 1), 23 bits fine: with 24, the last one would round to 1."""
    return uniforms(keys, (stream,), count)[0]


def uniforms(keys: Tensor, streams: tuple[int, ...], count: int) -> Tensor:
    """(S, B, count): `uniform` of several streams, which share half of the work."""
    # conversion to int32 drops the higher bits
    low, high = keys.int()[:, None], (keys >> 32).int()[:, None]
    mixed = _mix(torch.arange(count, dtype=torch.int32, device=keys.device) ^ low)
    bits = _mix(mixed + (high ^ _flips(streams, keys.device)))
    return _shift(bits, 9).float().add_(0.5).mul_(2.0**-23)


@lru_cache
def _flips(streams: tuple[int, ...], device: torch.device) -> Tensor:
    """(S, 1, 1) int32, kept: to copy a few numbers to a GPU anew is to wait for it, several times in every step."""
    words = [stream * 0x9E3779B9 & 0xFFFFFFFF for stream in streams]
    return torch.tensor(words, device=device).int()[:, None, None]


def normal(keys: Tensor, stream: int, count: int) -> Tensor:
    """(B, count) float32, standard normal, by inversion."""
    return normal_quantile(uniform(keys, stream, count))


def normal_quantile(share: Tensor) -> Tensor:
    return (share * 2).sub_(1).erfinv_().mul_(2.0**0.5)


def poisson_quantile(mean: Tensor, share: Tensor) -> Tensor:
    """The Poisson number that `share` of the distribution stays at or below; both (...), float32.

    Summation up to mean 4, exact but for the rounding of float32 (a millionth of share); above, the expansion of Giles
    (Algorithm 955, ACM TOMS 2016) in the normal quantile, which misses the exact integer in fewer than one case in five
    hundred, and then by one.
    """
    is_few = torch.le(mean, FEW, out=torch.empty_like(mean))
    # a weight of 0 or 1 picks exactly one of the two
    return torch.lerp(_many(mean.clamp(min=FEW), share), _few(mean.clamp(max=FEW), share), is_few)


def _few(mean: Tensor, share: Tensor) -> Tensor:
    """How many of the distribution's partial sums `share` exceeds, for means up to FEW.

    With p(k) the terms and P(k) their sums, the excess (share - P(k)) / p(k) follows from the one before it by
    p(k) = p(k - 1) mean / k. Once negative it stays so.
    """
    inverse = mean.reciprocal()
    excess = mean.exp().mul_(share).sub_(1)
    is_over, minus_one = torch.empty_like(mean), mean.new_full((), -1.0)
    number = torch.gt(excess, 0, out=torch.empty_like(mean))
    for k in range(1, 20):  # at mean 4 the greatest share, 1 - 2^-24, gives 18
        torch.addcmul(minus_one, excess, inverse, value=k, out=excess)
        number += torch.gt(excess, 0, out=is_over)
    return number


def _many(mean: Tensor, share: Tensor) -> Tensor:
    """Expansion in the normal quantile z and 1 / sqrt(mean), to the second order, for means from FEW on."""
    z, root = normal_quantile(share), mean.sqrt()
    small, square = root.reciprocal(), z * z
    terms = square.mul(1 / 270).add_(7 / 810).mul_(square).sub_(8 / 405).mul_(small)
    terms.sub_(square.mul(1 / 72).add_(1 / 36).mul_(z)).mul_(small)
    return terms.add_(square.mul_(1 / 6)).add_(1 / 3).add_(root.mul_(z)).add_(mean).floor_().clamp_(min=0)


def _mix(x: Tensor) -> Tensor:
    """A 32-bit mixing function with low bias (Wellons 2018: 16, 7feb352d, 15, 846ca68b, 16), in place; int32 wraps."""
    x ^= _shift(x, 16)
    x *= 0x7FEB352D
    x ^= _shift(x, 15)
    x *= 0x846CA68B - 2**32
    x ^= _shift(x, 16)
    return x


def _shift(x: Tensor, places: int) -> Tensor:
    """Logical shift to the right: int32 alone would drag its sign along."""
    return (x >> places).bitwise_and_(2 ** (32 - places) - 1)
