"""What a params file's precision means on the device there is."""

import pytest
import torch

from components.learning import compute
from components.learning.compute import Compute, autocast, kind, own_precision, prepare


@pytest.fixture(params=["bfloat16", "float32"])
def able(request, monkeypatch) -> str:
    """A CPU, and what it computes in: one with AVX-512's instructions for bfloat16, one with AVX2."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    has = {"avx2": True, "avx512_bf16": request.param == "bfloat16"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    return request.param


def product(precision: str) -> torch.dtype:
    with autocast(Compute(seed=1, threads=1, precision=precision)):
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


def test_auto_is_bfloat16_where_the_processor_multiplies_in_it_and_what_is_named_is_done(able):
    assert own_precision() == able
    assert kind() == f"cpu, {able}"
    assert product("auto") == getattr(torch, able)
    assert product("float32") == torch.float32
    assert product("bfloat16") == torch.bfloat16


@pytest.mark.parametrize("processor", ["amx_bf16", "bf16"])
def test_amx_and_arm_count_as_well(processor, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {processor: True, "architecture": "any"})
    assert own_precision() == "bfloat16"


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_a_gpu_that_only_emulates_bfloat16_trains_in_float32(native, expected, monkeypatch):
    def supported(including_emulation: bool) -> bool:
        return native or including_emulation

    monkeypatch.setattr(compute, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert own_precision() == expected
    assert kind() == f"cuda, {expected}"


def test_float32_is_not_cut_short_on_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    prepare(Compute(seed=1, threads=1, precision="float32"))
    assert not torch.backends.cudnn.allow_tf32
