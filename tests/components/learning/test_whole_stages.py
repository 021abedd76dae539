"""Both stages and the baseline as a whole: what a gradient reaches, what they can learn, and that refactors keep both.

About 25 s on one thread.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from components.learning import losses, peers
from components.learning.batches import Batch
from components.learning.decoder import Decoder
from components.learning.optim import OptimConfig, optimizers
from components.lowlight.noise import keys_of
from components.model.baselines import PEERS, Plain, ResNet18
from components.model.light import LightConfig
from components.model.lldif import FacesConfig, LLDif, StageOne
from components.model.llformer import LLformerConfig
from components.model.prior import PriorConfig

FACES = FacesConfig(classes=("calm", "glad", "cross"), shape=(48, 48, 1))
EVERY_TERM = {"alignment_weight": 0.1, "darker_weight": 0.1, "prior_dropout": 0.5, "prior_noise": 0.1}
PAPERS_STAGE_ONE = "the paper's stage 1"
STAGE_ONE_TERMS = {
    "stage_one": EVERY_TERM,
    "three things aligned": EVERY_TERM | {"dark_text_weight": 0.5},
    "stage 1 restores first": EVERY_TERM,
    "stage 1 draws the clean face": EVERY_TERM | {"reconstruction_weight": 1.0},
    PAPERS_STAGE_ONE: {"contrastive_weight": 0.0},
}
# the paper's loss asks for no prompt, no views of a face and no Z that is withheld
IDLE = {PAPERS_STAGE_ONE: {"unknown", "prior.log_scale", "prior.text_to_shared.weight", "prior.face_to_shared.weight"}}
STAGES = ("plain", *STAGE_ONE_TERMS, "lldif")


def recogniser(**changes: str | float) -> dict[str, LLformerConfig]:
    plain = {"preset": "tiny", "modulation": "residual", "landmarks": "none", "images": "own", "drop_path": 0.0}
    return {"llformer": LLformerConfig.model_validate(plain | changes)}


@dataclass(frozen=True)
class Form:
    """What else LLDif may be: what differs in the model, in the diffusion and in stage 2's loss."""

    model: dict[str, Any] = field(default_factory=dict)
    diffusion: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)
    frozen_encoder: bool = False


# as params/paper.yaml has it, but for its sizes and pretrained branches
PAPER = Form(
    {
        "prior": PriorConfig(
            channels=16, clip=None, width=8, prompt="a {label}", sees="dark", label_input=True, normalised=False
        ),
        "light": LightConfig(form="srgb", blurs=False, read_noise=0.0),
        "exposure_condition": False,
        **recogniser(modulation="direct", landmarks="own", drop_path=0.5),
    },
    loss={
        "l1_weight": 0.0,
        "pure_noise_share": 0.0,
        "logit_weight": 0.0,
        "feature_weight": 0.0,
        "denoising_weight": 0.0,
    },
    frozen_encoder=True,
)
RESTORES = Form({"restorer": True})
FORMS = {
    "an MLP": Form(diffusion={"form": "mlp"}),
    "predicts the noise": Form(diffusion={"predicts": "noise"}),
    "one step": Form(diffusion={"steps": 1}),
    "steps are draws": Form(diffusion={"reverse_noise": True}),
    "diffusion by the book": Form(
        diffusion={"reverse_noise": True, "steps": 8, "beta_low": 0.01},
        loss={"kl_weight": 0.0, "l1_weight": 0.0, "denoising_weight": 1.0, "stop_gradient": True},
    ),
    "the label in Z": Form({"label_input": True}),
    "restores first": RESTORES,
    "with DLNet": Form(recogniser(landmarks="own")),
    "Z-hat drawn to its prompt": Form(loss={"contrastive_weight": 1.0}),
    "Z-hat has a voice": Form(diffusion={"voice": 0.5}, loss={"contrastive_weight": 1.0}),
    "stage 2 draws the clean face": Form(loss={"reconstruction_weight": 1.0}),
    "Z-hat withheld": Form(loss={"prior_dropout": 0.5}),
    "recognising does not shape Z-hat": Form(loss={"stop_gradient": True}),
    "its own teacher": Form(loss={"teacher": "itself"}),
    "in small": Form(recogniser(preset="small")),
    "in base": Form(recogniser(preset="base")),
    "scaled as the paper writes it": Form(recogniser(modulation="direct")),
    "the paper's form": PAPER,
}
OF_STAGE_ONE = {PAPERS_STAGE_ONE: PAPER, "stage 1 restores first": RESTORES}
WAITING = {"Z-hat alone at first": Form(loss={"prior_phase": 0.6})}  # half of the training is done below
# the losses of three steps from seed 3 in float32, as they were when each was added or its code last changed on purpose
# (2026-11-22 to -29; CHANGELOG.md says what changed): a refactor leaves them as they are, and processors differ in the
# seventh digit
RECORDED = {
    "plain": (1.117493, 0.74818, 0.438168),
    "stage_one": (2.209479, 1.653134, 1.115324),
    "lldif": (2.230199, 1.81003, 1.545985),
    "resnet18": (1.090745, 0.734659, 0.460335),
    "poster": (1.128139, 0.778332, 0.470636),
    "denoise_then_classify": (1.569998, 1.183047, 0.855972),
    "enhance_and_classify": (1.569998, 1.151417, 0.833838),
    "distilled": (1.132296, 0.828066, 0.657069),
    "ensemble": (1.224287, 0.790704, 0.52798),
    "an MLP": (2.22363, 1.801577, 1.525998),
    "with DLNet": (2.359246, 1.889367, 1.600268),
    "in small": (2.621305, 1.659006, 1.606979),
    "predicts the noise": (263.506744, 246.611343, 234.252457),
    "one step": (2.22518, 1.79715, 1.526121),
    "steps are draws": (2.223856, 1.800307, 1.528977),
    "the label in Z": (2.14362, 1.708809, 1.452471),
    "scaled as the paper writes it": (2.220148, 1.815971, 1.545737),
    "three things aligned": (2.823161, 2.123174, 1.442477),
    "clean_ceiling": (1.129718, 0.766336, 0.455507),
    "Z-hat drawn to its prompt": (3.376448, 2.771357, 2.349535),
    "Z-hat withheld": (2.229856, 1.810693, 1.546878),
    "recognising does not shape Z-hat": (2.230199, 1.81007, 1.545771),
    "its own teacher": (2.234102, 1.867242, 1.654813),
    "in base": (2.672839, 1.883614, 2.131534),
    "Z-hat alone at first": (1.026217, 0.973463, 0.921427),
    "the paper's form": (1.178516, 0.901811, 0.653914),
    "stage 1 restores first": (2.62035, 2.045958, 1.492038),
    "restores first": (2.957126, 2.449168, 2.116844),
    "stage 1 draws the clean face": (3.107867, 2.539505, 1.993098),
    "diffusion by the book": (2.166063, 1.742121, 1.472912),
    "Z-hat has a voice": (3.376448, 2.771357, 2.349535),
    "stage 2 draws the clean face": (3.132285, 2.69715, 2.412484),
    PAPERS_STAGE_ONE: (1.164887, 0.888856, 0.641266),
}


def batch(count: int = 12, draw: int = 0) -> Batch:
    """The same faces under another `draw` of whatever is random."""
    generator = torch.Generator().manual_seed(8)
    labels = torch.arange(count) % 3
    images = torch.randint(0, 90, (3, count, 1, 48, 48), generator=generator, dtype=torch.uint8)
    for number, label in enumerate(labels.tolist()):
        images[:, number, :, :, 16 * label : 16 * label + 16] += 100
    keys = keys_of([str(number) for number in range(count)], [0.0] * count, draw)
    return Batch(images[0], images[1], labels, torch.eye(3)[labels], keys, images[2])


def beside(network: nn.Module, weight: float) -> Decoder | None:
    """What draws the clean face, where a term asks for it: here a part of the network, so that both learn."""
    if weight:
        network.decoder = Decoder(network)
    return network.decoder if weight else None


@pytest.fixture
def stage(small_model, diffusion, stage_one_loss, stage_two_loss, objective, awake):
    """(network, loss) by name, with every part and every term."""

    def build(name: str) -> tuple[nn.Module, Callable[[Batch], tuple[Tensor, Tensor]]]:
        torch.manual_seed(3)
        form = (FORMS | WAITING | OF_STAGE_ONE).get(name, Form())
        ours = {"light": LightConfig(form="anscombe", blurs=True, read_noise=0.0), "exposure_condition": True}
        model = small_model(**ours | form.model)
        if name in ("plain", "resnet18"):
            peer = awake(Plain(model, FACES) if name == "plain" else ResNet18(model, FACES, width=8))
            return peer, lambda one: losses.plain(peer, one, objective())
        if name in PEERS:
            _, plan = peers.phases(name, model, FACES, 6, objective())
            return awake(plan[-1].network), lambda one: plan[-1].loss(one, 0.0)
        stage_one = awake(StageOne(model, FACES))
        if name in STAGE_ONE_TERMS:
            config = stage_one_loss(**STAGE_ONE_TERMS[name])
            decoder = beside(stage_one, config.reconstruction_weight)
            return stage_one, lambda one: losses.stage_one(stage_one, one, config, objective(), decoder)
        network = LLDif(model, diffusion(**form.diffusion), FACES)
        network.start_from(stage_one, warm=True, frozen_encoder=form.frozen_encoder)
        stage_one.requires_grad_(False).eval()
        terms = {"logit_weight": 0.5, "feature_weight": 0.1, "denoising_weight": 0.5, "teacher_sees": "clean"}
        config = stage_two_loss(**terms | form.loss)
        decoder = beside(network, config.reconstruction_weight)
        return network, lambda one: losses.stage_two(network, stage_one, one, 0.5, config, objective(), decoder)

    return build


def three_steps(network: nn.Module, loss: Callable[[Batch], tuple[Tensor, Tensor]]) -> list[float]:
    optim = OptimConfig(kind="muon", adamw_rate=0.002, muon_rate=0.02, weight_decay=0.02, warmup_share=0.0)
    optimisers, found = optimizers(network.train(), optim), []
    for _ in range(3):
        for optimiser in optimisers:
            optimiser.zero_grad()
        total, _ = loss(batch())
        total.backward()
        for optimiser in optimisers:
            optimiser.step()
        found.append(float(total.detach()))
    return found


@pytest.mark.parametrize("name", RECORDED)
def test_the_losses_are_those_of_before(stage, name):
    assert three_steps(*stage(name)) == pytest.approx(RECORDED[name], rel=5e-5)


@pytest.mark.parametrize("name", [*STAGES, *FORMS])
def test_a_gradient_reaches_all_that_learns_and_nothing_that_is_frozen(stage, name):
    network, loss = stage(name)
    loss(batch())[0].backward()
    for place, parameter in network.named_parameters():
        learns = parameter.requires_grad and place not in IDLE.get(name, ())
        assert (parameter.grad is not None and bool(parameter.grad.abs().max() > 0)) == learns, place
    frozen = {place for place, parameter in network.named_parameters() if not parameter.requires_grad}
    assert bool(frozen) == (name in FORMS and FORMS[name].frozen_encoder)
    assert all(place.startswith("image_encoder.") for place in frozen)


@pytest.mark.parametrize("name", [*STAGES, *FORMS, *(peer for peer in PEERS if peer not in STAGES)])
def test_in_bfloat16_the_loss_is_nearly_that_of_float32_and_the_same_parameters_learn(stage, name):
    """What a GPU computes in, and processors that multiply in it."""
    found = []
    for halved in (False, True):
        network, loss = stage(name)
        with torch.autocast("cpu", torch.bfloat16, enabled=halved):
            total, logits = loss(batch(6))
        total.backward()
        assert logits.isfinite().all()
        learned = {place for place, value in network.named_parameters() if value.grad is not None and value.grad.any()}
        found.append((float(total.detach()), learned))
    (exact, all_that_learn), (rounded, learned) = found
    assert rounded == pytest.approx(exact, rel=0.03)
    assert learned == all_that_learn


def test_the_recogniser_waits_for_z_hat_in_the_first_phase(stage):
    network, loss = stage("Z-hat alone at first")
    loss(batch())[0].backward()
    learned = {place for place, parameter in network.named_parameters() if parameter.grad is not None}
    assert {place.partition(".")[0] for place in learned} == {"image_encoder", "condition", "denoiser"}


def test_the_clean_face_teaches_decoder_and_maps_and_leaves_head_and_fusion_alone(small_model, awake):
    network = awake(StageOne(small_model(), FACES))
    decoder, one = Decoder(network), batch()
    seen, clean = network.see(one.images), network.see(one.clean)
    scales = network.recognise(seen, network.true_prior(seen, clean, one.labels)).scales
    losses.reconstruction(decoder, scales, clean).backward()
    for place, parameter in [*decoder.named_parameters(), *network.llformer.dynamic.named_parameters()]:
        assert parameter.grad is not None, place
        assert parameter.grad.abs().max() > 0, place
    for part in (network.llformer.head, network.llformer.fusion, network.llformer.tokens):
        assert all(parameter.grad is None for parameter in part.parameters())


def test_nothing_reaches_the_teacher(stage, small_model):
    network, loss = stage("lldif")
    teacher = next(cell.cell_contents for cell in loss.__closure__ if isinstance(cell.cell_contents, StageOne))
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    three_steps(network, loss)
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


@pytest.mark.parametrize("name", [*STAGE_ONE_TERMS, "lldif", *FORMS])
def test_a_stage_can_learn_a_few_faces_by_heart(stage, name):
    """As it answers when it is asked: without labels in stage 2, by the statistics of its batch norms."""
    network, loss = stage(name)
    (optimiser,) = optimizers(
        network, OptimConfig(kind="adamw", adamw_rate=0.003, muon_rate=0.02, weight_decay=0.0, warmup_share=0.0)
    )
    sample = batch()
    known = (sample.images, sample.labels) if name in STAGE_ONE_TERMS else (sample.images,)
    for step in range(1, 121):
        network.train()
        optimiser.zero_grad()
        loss(batch(draw=step))[0].backward()
        optimiser.step()
        if step % 10 == 0:
            with torch.no_grad():
                right = torch.equal(network.eval()(*known).argmax(dim=1), sample.labels)
            if right:
                break
    assert right
