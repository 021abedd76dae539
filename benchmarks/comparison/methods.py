"""What is compared: each method is the stages it trains and what it changes in the experiment's params file."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from components.config import ConfigError

PLAIN = "plain"  # what every other method is read against
CEILING = "clean_ceiling"  # what the same recogniser does where there is light

RAW: Mapping[str, Any] = {"model.light.form": "srgb", "model.light.blurs": False, "model.light.read_noise": 0.0}
GAIN: Mapping[str, Any] = {**RAW, "model.light.form": "auto_gain"}


@dataclass(frozen=True)
class Method:
    """`overrides` are dotted places in the params file. Whatever its phases, a method sees `epochs` times train."""

    name: str
    trains: Literal["baseline", "lldif"]
    says: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    prior_share: float | None = None  # of LLDif's epochs that stage 1 gets; else as large a share as the params file's
    asks: str = ""  # the method whose trained weights answer, in another way: then nothing is trained

    @property
    def stages(self) -> tuple[str, ...]:
        return ("train_baseline",) if self.trains == "baseline" else ("train_prior", "train_diffusion")

    def epochs(self, content: Mapping[str, Any], total: int) -> dict[str, int]:
        """How many of `total` epochs each of the stages gets; `content` is the params file's."""
        if self.trains == "baseline":
            return {"train_baseline": total}
        first, second = content["train_prior"]["epochs"], content["train_diffusion"]["epochs"]
        share = first / (first + second) if self.prior_share is None else self.prior_share
        prior = max(1, round(share * total))
        return {"train_prior": prior, "train_diffusion": total - prior}

    def applied(self, content: Mapping[str, Any], total: int) -> dict[str, Any]:
        """A params file's content as this method would have it, for `total` epochs.

        Where the file has one schedule of the learning rate span both stages of LLDif, it spans these.
        """
        result, shares = overridden(content, self.overrides), self.epochs(content, total)
        for stage, epochs in shares.items():
            result[stage]["epochs"] = epochs
        if self.trains == "lldif" and result["train_prior"]["epochs_after"]:
            result["train_prior"]["epochs_after"] = shares["train_diffusion"]
        return result


ALONE: Mapping[str, Any] = {"inference.flip_average": False, "inference.adjustment": 0.0}  # the answer as it is
ORDINARY: Mapping[str, Any] = {**GAIN, "objective.balance": "none", **ALONE}
REMEDIES = "every remedy of the recipe that needs no prior: input, flips, adjustment"


def peer(name: str, says: str) -> Method:
    """As it is known: auto-gain, the params file's targets, and none of the recipe's remedies."""
    return Method(name, "baseline", says, {"train_baseline.peer": name, **ORDINARY})


def remedied(name: str) -> Method:
    """The same peer with what the params file gives LLDif too: photon input with blurs, mirror images, adjustment."""
    return Method(f"{name}_remedied", "baseline", f"{name}, with {REMEDIES}", {"train_baseline.peer": name})


METHODS = (
    peer(PLAIN, "the same recogniser, one learned constant in place of the prior"),
    Method("plain_raw", "baseline", "plain, seeing sRGB as it is", {"train_baseline.peer": PLAIN, **ORDINARY, **RAW}),
    remedied(PLAIN),
    Method(
        "plain_wide",
        "baseline",
        "plain_remedied with DLNet: as many parameters as LLDif with its encoder",
        {"train_baseline.peer": PLAIN, "model.llformer.landmarks": "own"},
    ),
    peer("resnet18", "a ResNet-18 for small faces, of as many parameters as plain"),
    remedied("resnet18"),
    peer("poster", "POSTER++ without pretraining, of as many parameters as plain"),
    peer("denoise_then_classify", "a denoiser that learns from clean images, a classifier on what it makes"),
    remedied("denoise_then_classify"),
    peer("enhance_and_classify", "such a denoiser and classifier trained jointly, as in LL-FER"),
    remedied("enhance_and_classify"),
    peer("distilled", "plain, taught by a plain teacher of clean faces that took a third of the epochs"),
    peer("ensemble", "three plain ones, each with a third of the epochs"),
    peer(CEILING, "plain, trained on clean faces alone and read on them alone"),
    Method("lldif", "lldif", "both stages, as the params file says"),
)


def ablation(name: str, says: str, overrides: Mapping[str, Any], prior_share: float | None = None) -> Method:
    return Method(f"lldif_{name}", "lldif", says, overrides, prior_share)


STOP: Mapping[str, Any] = {"train_diffusion.loss.stop_gradient": True}
DRAWS: Mapping[str, Any] = {  # diffusion by the book (Ho et al. 2020): a model of Z's distribution, not of its mean
    **STOP,
    "diffusion.reverse_noise": True,
    "train_diffusion.loss.kl_weight": 0.0,
    "train_diffusion.loss.l1_weight": 0.0,
    "train_diffusion.loss.denoising_weight": 1.0,
}
FINE_DRAWS: Mapping[str, Any] = {**DRAWS, "diffusion.steps": 8, "diffusion.beta_low": 0.01}
CLEAN_TEACHER: Mapping[str, Any] = {
    "train_prior.loss.clean_share": 1.0,
    "train_diffusion.loss.teacher_sees": "clean",
}
LOGITS: Mapping[str, Any] = {"train_diffusion.loss.logit_weight": 0.5}
FEATURES: Mapping[str, Any] = {"train_diffusion.loss.feature_weight": 0.1}
TAUGHT: Mapping[str, Any] = {**CLEAN_TEACHER, **LOGITS, **FEATURES}
# what params/paper.yaml says of the method, but for its sizes, whose weights DLNet begins with, and its optimiser; the
# rates are those of the experiment
PAPER: Mapping[str, Any] = {
    **RAW,
    **ALONE,
    "objective.targets": "label",
    "objective.balance": "none",
    "model.prior.sees": "dark",
    "model.prior.label_input": True,
    "model.prior.normalised": False,
    "model.llformer.modulation": "direct",
    "model.llformer.landmarks": "own",
    "model.llformer.drop_path": 0.5,
    "train_prior.epochs_after": 0,
    "train_prior.loss.contrastive_weight": 0.0,
    "train_prior.loss.alignment_weight": 0.0,
    "train_prior.loss.prior_dropout": 0.0,
    "train_diffusion.one_schedule": False,
    "train_diffusion.frozen_encoder": True,
    "train_diffusion.loss.l1_weight": 0.0,
    "train_diffusion.loss.pure_noise_share": 0.0,
}
PAPER_SHARE = 0.2  # of the epochs for stage 1
ADAMW: Mapping[str, Any] = {"optim.kind": "adamw"}  # at the rate that beside Muon is for what is no matrix
DRAWN: Mapping[str, Any] = {"train_diffusion.loss.contrastive_weight": 1.0}  # Z-hat is taught its label, as Z is
VOICE: Mapping[str, Any] = {**DRAWN, "diffusion.voice": 0.5}  # and answers too, as CLIP does: by the nearest prompt
IN_LOSS: Mapping[str, Any] = {"objective.strength": 0.5, "inference.adjustment": 0.0}


ABLATIONS = (
    ablation("paper", "the paper's form: none of the remedies, and AdamW", {**PAPER, **ADAMW}, PAPER_SHARE),
    ablation("paper_muon", "the paper's form, with the optimiser of the experiment", PAPER, PAPER_SHARE),
    ablation("adamw", "AdamW for all parameters", ADAMW),
    ablation("label_in_prior", "the label among PNET's inputs, as in the paper", {"model.prior.label_input": True}),
    ablation("no_contrast", "no loss ties Z to the label's prompt", {"train_prior.loss.contrastive_weight": 0.0}),
    ablation("dark_prior", "Z of the dark image", {"model.prior.sees": "dark"}),
    ablation("free_prior", "Z of any scale", {"model.prior.normalised": False}),
    ablation(
        "cold_start", "the recogniser does not begin with stage 1's weights", {"train_diffusion.warm_start": False}
    ),
    ablation(
        "two_schedules",
        "the learning rate falls in each stage",
        {"train_prior.epochs_after": 0, "train_diffusion.one_schedule": False},
    ),
    ablation("noised_start", "chains start from noised Z", {"train_diffusion.loss.pure_noise_share": 0.0}),
    ablation(
        "no_prior_loss",
        "nothing asks stage 2 for stage 1's Z",
        {"train_diffusion.loss.kl_weight": 0.0, "train_diffusion.loss.l1_weight": 0.0},
    ),
    ablation("mlp", "an MLP of the same layers in place of the chain", {"diffusion.form": "mlp"}),
    ablation("one_step", "T = 1", {"diffusion.steps": 1}),
    ablation("two_steps", "T = 2", {"diffusion.steps": 2}),
    ablation("eight_steps", "T = 8", {"diffusion.steps": 8}),
    ablation("raw", "sees sRGB as it is", RAW),
    ablation("auto_gain", "sees mean 0, deviation 1", GAIN),
    ablation(
        "anscombe",
        "sees photons, stabilised, without the blurs",
        {"model.light.form": "anscombe", "model.light.blurs": False},
    ),
    ablation("read_noise", "photons, with the camera's read noise known", {"model.light.read_noise": 3.0}),
    ablation("restorer", "a denoiser first makes the clean face of the dark one", {"model.restorer": True}),
    ablation("exposure", "the modulation hears the exposure", {"model.exposure_condition": True}),
    ablation("frozen_encoder", "E_I does not learn in stage 2", {"train_diffusion.frozen_encoder": True}),
    ablation("all_prior", "Z is never withheld in stage 1", {"train_prior.loss.prior_dropout": 0.0}),
    ablation("unaligned", "dark and clean faces are not aligned", {"train_prior.loss.alignment_weight": 0.0}),
    ablation("darker_views", "dark aligned with darker", {"train_prior.loss.darker_weight": 0.1}),
    ablation(
        "three_aligned",
        "dark face, clean face and label text aligned, each with each",
        {"train_prior.loss.dark_text_weight": 0.5},
    ),
    ablation("noisy_prior", "noise of .3 on the Z that guides stage 1", {"train_prior.loss.prior_noise": 0.3}),
    ablation("teacher", "stage 1 is a clean teacher: its logits and features are learned", TAUGHT),
    ablation("teacher_logits", "a clean teacher's logits alone are learned", {**CLEAN_TEACHER, **LOGITS}),
    ablation("teacher_features", "a clean teacher's features alone are learned", {**CLEAN_TEACHER, **FEATURES}),
    ablation(
        "longer_teacher",
        "logits and features of a clean teacher that took a third of the epochs",
        TAUGHT,
        prior_share=1 / 3,
    ),
    ablation(
        "own_teacher",
        "its own answer for the clean face is learned",
        {
            "train_diffusion.loss.teacher": "itself",
            "train_diffusion.loss.teacher_sees": "clean",
            "train_diffusion.loss.logit_weight": 0.5,
        },
    ),
    ablation(
        "reconstruction",
        "the clean face is drawn from the recogniser's maps beside",
        {"train_prior.loss.reconstruction_weight": 1.0, "train_diffusion.loss.reconstruction_weight": 1.0},
    ),
    ablation(
        "denoising", "one denoising step learned beside the chain", {"train_diffusion.loss.denoising_weight": 1.0}
    ),
    ablation("posterior", "Z-hat is a draw: the denoiser learns by its own loss alone, steps back have noise", DRAWS),
    ablation("fine_posterior", "the same in eight steps, the last ten times as fine", FINE_DRAWS),
    ablation("longer_posterior", "the same, with a third of the epochs for stage 1", FINE_DRAWS, prior_share=1 / 3),
    ablation(
        "half_inferred",
        "Z-hat is withheld from the recogniser for half of the faces",
        {"train_diffusion.loss.prior_dropout": 0.5},
    ),
    ablation("stop_gradient", "recognising does not shape Z-hat", STOP),
    ablation("longer_prior", "a third of the epochs for stage 1", {}, prior_share=1 / 3),
    ablation("longer_prior_alone", "the same, and recognising does not shape Z-hat", STOP, prior_share=1 / 3),
    ablation("drawn", "Z-hat is drawn to the label's prompt in stage 2 too", DRAWN),
    ablation("voice", "Z-hat is drawn to the label's prompt in stage 2 too, and gives half of the answer", VOICE),
    ablation("longer_prior_voice", "the same, with a third of the epochs for stage 1", VOICE, prior_share=1 / 3),
    ablation("clean_start", "stage 1 recognises clean faces", {"train_prior.loss.clean_share": 1.0}),
    ablation(
        "label_dropped",
        "the label among PNET's inputs for half of the faces",
        {"model.prior.label_input": True, "train_prior.loss.label_dropout": 0.5},
    ),
    ablation("phased", "Z-hat alone for a tenth of stage 2", {"train_diffusion.loss.prior_phase": 0.1}),
    ablation("noise_form", "the denoiser predicts the noise", {"diffusion.predicts": "noise"}),
    ablation("landmarks", "with DLNet, own encoders", {"model.llformer.landmarks": "own"}),
    ablation("direct", "Z scales a map by W1 Z, not by 1 + W1 Z", {"model.llformer.modulation": "direct"}),
    ablation("balanced", "logit adjustment, in the loss", {**IN_LOSS, "objective.balance": "logit_adjustment"}),
    ablation("class_weights", "class weights in the loss", {**IN_LOSS, "objective.balance": "class_weights"}),
    ablation("labels", "aims at labels", {"objective.targets": "label"}),
)


def asked(name: str, says: str, overrides: Mapping[str, Any]) -> Method:
    return Method(f"lldif_{name}", "lldif", f"lldif's own weights: {says}", overrides, asks="lldif")


# what can be changed after training: the same weights, so that the difference is the change and nothing else
OWN_WEIGHTS = (
    asked("eight_chains", "K = 8", {"diffusion.samples": 8}),
    asked("asked_in_one_step", "T = 1", {"diffusion.steps": 1}),
    asked("asked_in_two_steps", "T = 2", {"diffusion.steps": 2}),
    asked("asked_in_eight_steps", "T = 8", {"diffusion.steps": 8}),
    asked("one_side", "no flip averaging", {"inference.flip_average": False}),
    asked(
        "eight_chains_one_side",
        "K = 8 and no flip averaging",
        {"diffusion.samples": 8, "inference.flip_average": False},
    ),
    Method(
        "lldif_paper_eight_chains",
        "lldif",
        "lldif_paper's own weights: K = 8",
        {**PAPER, **ADAMW, "diffusion.samples": 8},
        prior_share=PAPER_SHARE,
        asks="lldif_paper",
    ),
    *(
        Method(
            f"{drawn.name}_eight_chains",
            "lldif",
            f"{drawn.name}'s own weights: K = 8",
            {**drawn.overrides, "diffusion.samples": 8},
            prior_share=drawn.prior_share,
            asks=drawn.name,
        )
        for drawn in ABLATIONS
        if drawn.overrides.get("diffusion.reverse_noise")
    ),
    asked("unadjusted", "no adjustment", {"inference.adjustment": 0.0}),
    asked("half_adjusted", "adjustment .5: rare classes at more of the others' cost", {"inference.adjustment": 0.5}),
)
PEERS_WEIGHTS = (
    Method(
        "plain_half_adjusted",
        "baseline",
        "plain's own weights: adjustment .5",
        {"train_baseline.peer": PLAIN, **ORDINARY, "inference.adjustment": 0.5},
        asks=PLAIN,
    ),
    *(
        Method(
            f"{known.name}_both_sides",
            "baseline",
            f"{known.name}'s own weights: flips averaged, as augmentation at test time",
            {**known.overrides, "inference.flip_average": True},
            asks=known.name,
        )
        for known in METHODS
        if known.name == known.overrides.get("train_baseline.peer") != CEILING
    ),
)

GROUPS = {
    "peers": METHODS,
    "ablations": ABLATIONS + OWN_WEIGHTS,
    "asked": OWN_WEIGHTS + PEERS_WEIGHTS,
    "all": METHODS + ABLATIONS + OWN_WEIGHTS + PEERS_WEIGHTS,
}


def chosen(names: str) -> list[Method]:
    """The methods of a list like "lldif,plain" or "peers", each before those that ask it.

    Raises ConfigError, naming what there is.
    """
    known = {method.name: method for method in GROUPS["all"]}
    found: list[Method] = []
    for name in names.split(","):
        if name not in known and name not in GROUPS:
            raise ConfigError(f"--methods {name}: allowed are {', '.join([*GROUPS, *known])}")
        found += GROUPS.get(name, (known[name],) if name in known else ())
    lenders = [known[method.asks] for method in found if method.asks]
    return sorted({method.name: method for method in [*found, *lenders]}.values(), key=lambda method: bool(method.asks))


def overridden(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A params file's content with some values replaced. Raises ConfigError where the file has no such place."""
    result: dict[str, Any] = deepcopy(dict(content))
    for place, value in changes.items():
        section: Any = result
        *parents, last = place.split(".")
        for part in parents:
            section = section.get(part) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section:
            raise ConfigError(f"{place}: not in the params file: a method replaces only what stands there")
        section[last] = value
    return result
