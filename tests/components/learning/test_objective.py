"""What training aims at, and how rare classes get their weight."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from components.data.table import Faces
from components.learning.objective import Objective, ObjectiveConfig, targets_of


def faces(labels: list[int]) -> Faces:
    count = len(labels)
    votes = np.full((count, 3), 0.2, dtype=np.float32)
    votes[np.arange(count), labels] = 0.6
    images = np.zeros((count, 4, 4, 1), dtype=np.uint8)
    return Faces([str(n) for n in range(count)], images, np.array(labels), votes, ("a", "b", "c"))


def test_targets_are_one_class_or_what_people_said():
    rows = faces([0, 2])
    hard, soft = (targets_of(rows, ObjectiveConfig(targets=t, balance="none", strength=0)) for t in ("label", "votes"))
    assert hard.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert np.array_equal(soft, rows.votes)
    assert hard.dtype == soft.dtype == np.float32


def test_shares_are_those_of_the_targets_and_never_nothing():
    config = ObjectiveConfig(targets="label", balance="none", strength=0)
    assert Objective.of(config, faces([0, 0, 0, 1])).log_shares.exp().tolist() == pytest.approx([0.75, 0.25, 0.25])


def test_logit_adjustment_of_full_strength_makes_the_shares_the_answer_that_costs_least(objective):
    """Where nothing is known of a face, balanced logits are level, and the loss is the targets' own entropy."""
    shares = (0.7, 0.2, 0.1)
    logits = torch.zeros(1, 3, requires_grad=True)
    objective("logit_adjustment", 1.0, shares)(logits, torch.tensor([shares])).backward()
    assert logits.grad.abs().max() < 1e-6
    objective("none", 1.0, shares)(logits, torch.tensor([shares])).backward()
    assert logits.grad.abs().max() > 0.1


def test_class_weights_count_rare_classes_more_and_one_on_average(objective):
    shares = (0.5, 0.25, 0.25)
    logits, labels = torch.randn(400, 3), torch.tensor([0, 0, 1, 2]).repeat(100)
    targets = torch.eye(3)[labels]
    each = F.cross_entropy(logits, labels, reduction="none")
    weights = torch.tensor([2.0, 4.0, 4.0]) / 3
    expected = (each * weights[labels]).mean()
    assert objective("class_weights", 1.0, shares)(logits, targets).item() == pytest.approx(expected.item(), rel=1e-5)
    assert weights[labels].mean().item() == pytest.approx(1)


@pytest.mark.parametrize("balance", ["none", "class_weights", "logit_adjustment"])
def test_without_strength_every_balance_is_the_cross_entropy(objective, balance):
    logits, targets = torch.randn(6, 3), torch.eye(3)[torch.arange(6) % 3]
    expected = F.cross_entropy(logits, targets)
    assert objective(balance, 0.0, (0.8, 0.1, 0.1))(logits, targets).item() == pytest.approx(expected.item(), rel=1e-5)
