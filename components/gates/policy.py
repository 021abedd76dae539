"""The gates as mlflow.yaml declares them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.config import Config

# of these more is better, of the others less
HIGHER_IS_BETTER = frozenset(
    {"accuracy", "accuracy_above_majority", "mean_class_accuracy", "macro_f1", "darkness_area", "stability"}
)
PROPORTIONS = frozenset({"accuracy", "accuracy_above_majority"})

# accuracy_above_majority: less what always naming the commonest class would reach
# darkness_area: accuracy over the logarithm of exposure, its area divided by its width
# stability: share of faces that keep their answer under a shift, a flip or one stop of exposure, whichever is worst
Metric = Literal[
    "accuracy",
    "accuracy_above_majority",
    "mean_class_accuracy",
    "macro_f1",
    "brier",
    "calibration_error",
    "darkness_area",
    "stability",
]
SliceMetric = Literal["accuracy", "brier", "calibration_error"]
CostMetric = Literal["latency_p95", "faces_per_second", "artefact_size"]
Exposure = Annotated[float, Field(gt=0, le=1)]
Exposures = Annotated[tuple[Exposure, ...], Field(min_length=1)]
Confidence = Annotated[float, Field(gt=0.5, lt=1)]


class Holdout(Config):
    """How often a test set may serve. The risk of a wrong promotion is split evenly over its looks."""

    looks: int = Field(ge=1)

    @property
    def alpha_share(self) -> float:
        return 1 / self.looks


class Declared(Config):
    """What every gate says of itself."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")


class Statistical(Declared):
    """A gate judged on faces. Of several exposures the metric's mean counts; `slice` is "all" or "attribute=value"."""

    exposures: Exposures
    confidence: Confidence  # of the bound that decides, before the risk is split over the looks
    minimum_faces: int = Field(ge=2)  # below that, and where the faces do not decide, the gate is inconclusive
    on_inconclusive: Literal["fail", "warn"]

    @model_validator(mode="after")
    def _exposures_are_distinct(self) -> Self:
        if len(set(self.exposures)) < len(self.exposures):
            raise ValueError("an exposure stands twice")
        return self


class OfOneFigure(Statistical):
    """A gate about one metric of one slice."""

    metric: Metric
    slice: str = Field(pattern=r"^(all|[^=]+=.+)$")

    @model_validator(mode="after")
    def _metric_suits(self) -> Self:
        if self.metric == "darkness_area" and (len(self.exposures) < 2 or self.slice.startswith("exposure=")):
            raise ValueError("darkness_area takes two exposures or more, and no slice of one")
        test = getattr(self, "test", "bootstrap")
        if test != "bootstrap" and (self.metric not in PROPORTIONS or len(self.exposures) > 1):
            raise ValueError(f"test {test} takes accuracy at one exposure: for anything else it is bootstrap")
        return self


class Absolute(OfOneFigure):
    """The confidence bound of the candidate's own figure keeps to a limit: at least that, or at most for an error."""

    kind: Literal["absolute"]
    limit: float
    test: Literal["wilson", "exact", "bootstrap"]


class NonInferiority(OfOneFigure):
    """On the same faces, the candidate is not worse than the champion by `margin`."""

    kind: Literal["non_inferiority"]
    margin: float = Field(gt=0, lt=1)
    test: Literal["exact", "tango", "bootstrap"]


class Superiority(OfOneFigure):
    """On the same faces, the candidate is better than the champion."""

    kind: Literal["superiority"]
    test: Literal["exact", "tango", "bootstrap"]


class Slices(Statistical):
    """In no slice is the candidate worse than the champion by `margin`. `by`: class, exposure or an attribute."""

    kind: Literal["slices"]
    by: str = Field(min_length=1)
    metric: SliceMetric
    margin: float = Field(gt=0, lt=1)
    test: Literal["exact", "tango", "bootstrap"]

    @model_validator(mode="after")
    def _test_suits(self) -> Self:
        rows_share_faces = len(self.exposures) > 1 and self.by != "exposure"
        if self.test != "bootstrap" and (self.metric != "accuracy" or rows_share_faces):
            raise ValueError(f"test {self.test} takes accuracy at one exposure: for anything else it is bootstrap")
        return self


class Fairness(Statistical):
    """Between the best and the worst slice of an attribute lies at most `gap`."""

    kind: Literal["fairness"]
    by: str = Field(min_length=1)
    metric: SliceMetric
    gap: float = Field(gt=0, lt=1)


class Cost(Declared):
    """Candidate's cost over the champion's, measured in alternating rounds. faces_per_second: at least `ratio`."""

    kind: Literal["cost"]
    metric: CostMetric
    ratio: float = Field(gt=0)
    confidence: Confidence
    on_inconclusive: Literal["fail", "warn"]


class Integrity(Declared):
    """The registered model loads, answers as recorded, holds no pickle and says where it comes from."""

    kind: Literal["integrity"]
    difference: float = Field(gt=0)  # greatest distance from the recorded probabilities
    allow_dirty: bool  # git tree with changes beyond dvc.lock and *.dvc


Gate = Annotated[
    Absolute | NonInferiority | Superiority | Slices | Fairness | Cost | Integrity, Field(discriminator="kind")
]


class Gates(Config):
    """The section of mlflow.yaml."""

    bootstrap: bool  # may a first model become champion with nothing to compare it to
    holdout: Holdout
    declared: tuple[Gate, ...]  # none: nothing is promoted

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        names = [gate.name for gate in self.declared]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"gate {twice} stands twice")
        return self
