"""The decoder draws the clean face from the recogniser's maps, of every scale, at any size of face."""

import pytest
import torch
import torch.nn.functional as F

from components.learning.decoder import Decoder
from components.model.light import LightConfig
from components.model.lldif import FacesConfig, StageOne
from components.model.llformer import LLformerConfig


def scales_of(network: StageOne, images: torch.Tensor) -> list[torch.Tensor]:
    seen = network.see(images)
    return network.recognise(seen, network.true_prior(seen, seen, torch.zeros(len(images), dtype=torch.int64))).scales


def made(small_model, preset: str, shape: tuple[int, int, int]) -> StageOne:
    model = small_model(
        light=LightConfig(form="anscombe", blurs=True, read_noise=0.0),
        llformer=LLformerConfig(preset=preset, modulation="residual", landmarks="none", images="own", drop_path=0.0),
    )
    return StageOne(model, FacesConfig(classes=("calm", "glad"), shape=shape)).eval()


@pytest.mark.parametrize("preset", ["tiny", "small", "base", "paper"])
@pytest.mark.parametrize("shape", [(48, 48, 1), (50, 67, 3)])
def test_it_draws_as_many_planes_of_the_size_of_the_face_as_are_seen(small_model, preset, shape):
    network = made(small_model, preset, shape)
    height, width, channels = shape
    images = torch.randint(0, 256, (2, channels, height, width), dtype=torch.uint8)
    drawn = Decoder(network)(scales_of(network, images), height, width)
    assert drawn.shape == network.see(images).planes.shape


def test_every_scale_has_a_part_in_the_drawing(small_model):
    network = made(small_model, "tiny", (48, 48, 1))
    scales = scales_of(network, torch.randint(0, 256, (2, 1, 48, 48), dtype=torch.uint8))
    decoder = Decoder(network)
    drawn = decoder(scales, 48, 48)
    for number in range(3):
        without = [torch.zeros_like(x) if place == number else x for place, x in enumerate(scales)]
        assert not torch.allclose(decoder(without, 48, 48), drawn)


def test_it_puts_what_a_place_of_the_maps_says_where_that_place_is(small_model):
    decoder = Decoder(made(small_model, "tiny", (48, 48, 1)))
    calm = [torch.zeros(1, width, side, side) for width, side in ((32, 12), (64, 6), (80, 3))]
    marked = [calm[0].clone(), *calm[1:]]
    marked[0][:, :, 2, 9] = 5.0
    changed = (decoder(marked, 48, 48) - decoder(calm, 48, 48)).abs().amax(dim=1)[0] > 0
    rows, columns = changed.nonzero().T
    assert (rows.min(), rows.max()) == (
        4,
        15,
    )  # the place itself draws rows 8 to 11, the 3x3 convolution its neighbours
    assert (columns.min(), columns.max()) == (32, 43)


def test_it_learns_to_draw_a_few_faces_from_their_maps(small_model):
    network = made(small_model, "tiny", (48, 48, 1))
    images = F.interpolate(torch.rand(4, 1, 6, 6) * 255, size=(48, 48), mode="bilinear").to(torch.uint8)
    scales, wanted = [x.detach() for x in scales_of(network, images)], network.see(images).planes
    decoder = Decoder(network)
    optimiser = torch.optim.Adam(decoder.parameters(), lr=0.01)
    off = []
    for _ in range(120):
        optimiser.zero_grad()
        loss = F.l1_loss(decoder(scales, 48, 48), wanted)
        loss.backward()
        optimiser.step()
        off.append(loss.item())
    assert off[-1] < 0.4 * off[0]
