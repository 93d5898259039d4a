"""Trains one head on cached features with torch: AdamW, labels mixed with the base model's outputs."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eennc.training.recipe import Recipe, Targets, TrainedHead

CHUNK = 4096
"""Samples per step where nothing is trained (statistics, held-out loss)."""
FLOOR = 1e-4
"""Features whose deviation is below this share of their mean's size count as constant."""


@dataclass(frozen=True)
class Scaling:
    """Standardisation of features: (x - mean) * inverse, both float64 [F]."""

    mean: NDArray[np.float64]
    inverse: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[Any], rows: NDArray[np.int64]) -> Scaling:
        """Mean and inverse deviation over `rows`, accumulated in float64; a constant feature is only shifted."""
        width = features.shape[1]
        total, squares = np.zeros(width), np.zeros(width)
        chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
        for chunk in chunks:
            total += features[chunk].sum(axis=0, dtype=np.float64)
        mean = total / len(rows)
        for chunk in chunks:
            squares += np.square(features[chunk].astype(np.float64) - mean).sum(axis=0)
        deviation = np.sqrt(squares / len(rows))
        constant = deviation <= FLOOR * np.maximum(np.abs(mean), 1e-6)
        return cls(mean, 1 / np.where(constant, 1, deviation))

    def fold(
        self, matrix: NDArray[np.float64], bias: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A dense layer [F, out], [out] over standardised features as one over raw features."""
        scaled = matrix * self.inverse[:, None]
        return scaled.astype(np.float32), (bias - self.mean @ scaled).astype(np.float32)


def hold_out(count: int, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers (training, held out), both sorted."""
    held = np.zeros(count, bool)
    if share > 0:
        held[np.random.default_rng([seed, 1]).permutation(count)[: max(1, round(count * share))]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def sample_weights(targets: Targets, power: float) -> NDArray[np.float32]:
    """Weight of each sample, mean 1, [n]: its own times (class frequency) ** -power."""
    answers = targets.labels if targets.labels is not None else targets.teacher.argmax(axis=1)
    weights = np.ones(len(answers)) if targets.weights is None else targets.weights.astype(np.float64)
    frequency = np.bincount(answers, minlength=targets.classes) / len(answers)
    weights = weights * np.maximum(frequency, 1e-12)[answers] ** -power
    return (weights / weights.mean()).astype(np.float32)


def train_head(
    features: NDArray[Any],
    targets: Targets,
    hidden: Sequence[int],
    recipe: Recipe,
    tick: Callable[[], None] = lambda: None,
) -> TrainedHead:
    """Train one head: dense layers of the widths `hidden` with ReLU, then one of `classes`.

    features: [n, F] float16 or float32, memory-mapped or not, finite. The result depends on the arguments alone: one
    intra-op thread, own random numbers. `tick` is called after each epoch. The caller's thread keeps one
    intra-op thread afterwards.
    """
    torch.set_num_threads(1)
    return _Training(features, targets, hidden, recipe).run(tick)


class _Training:
    def __init__(self, features: NDArray[Any], targets: Targets, hidden: Sequence[int], recipe: Recipe) -> None:
        self.recipe = recipe
        self.rows, self.held = hold_out(len(features), recipe.holdout, recipe.seed)
        self.scaling = Scaling.of(features, self.rows)
        self.mean = torch.from_numpy(self.scaling.mean.astype(np.float32))
        self.inverse = torch.from_numpy(self.scaling.inverse.astype(np.float32))
        self.features = torch.from_numpy(features)
        power = {"equal": 0.0, "sqrt": 0.5, "full": 1.0}[recipe.balance]
        self.weights = torch.from_numpy(sample_weights(targets, power))
        self.teacher = torch.from_numpy(np.asarray(targets.teacher, np.float32))
        self.labels = None if targets.labels is None else torch.from_numpy(targets.labels.astype(np.int64))
        self.distill = recipe.distill if targets.labels is not None else 1.0
        self.random = np.random.default_rng([recipe.seed, 2])
        self.noise = torch.Generator().manual_seed(int(self.random.integers(2**62)))
        widths = [features.shape[1], *hidden, targets.classes]
        self.matrices = [self._initial(a, b) for a, b in itertools.pairwise(widths)]
        self.biases = [torch.zeros(width, requires_grad=True) for width in widths[1:]]

    def _initial(self, inputs: int, outputs: int) -> Tensor:
        # He initialisation (He et al. 2015), uniform
        bound = math.sqrt(3 / inputs)
        values = self.random.uniform(-bound, bound, (inputs, outputs)).astype(np.float32)
        return torch.from_numpy(values).requires_grad_()

    def run(self, tick: Callable[[], None]) -> TrainedHead:
        recipe = self.recipe
        groups = [
            {"params": self.matrices, "weight_decay": recipe.weight_decay},
            {"params": self.biases, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
        size = recipe.batch_for(len(self.rows))
        per_epoch = recipe.steps_per_epoch(len(self.rows))
        epochs = recipe.epochs_for(len(self.features))
        steps = epochs * per_epoch
        step = 0
        best: tuple[float, int, list[Tensor]] | None = None
        for epoch in range(1, epochs + 1):
            order = torch.from_numpy(self.random.permutation(self.rows))
            for batch in order[: per_epoch * size].split(size):
                for group in optimizer.param_groups:
                    group["lr"] = recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
                loss = self._loss(self._logits(batch, train=True), batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1
            held = self._held_out_loss() if len(self.held) else -float(epoch)
            if best is None or held < best[0]:
                best = (held, epoch, [p.detach().clone() for p in (*self.matrices, *self.biases)])
            tick()
        assert best is not None
        kept = best[2]
        matrices, biases = kept[: len(self.matrices)], kept[len(self.matrices) :]
        layers = [(m.numpy(), b.numpy()) for m, b in zip(matrices, biases, strict=True)]
        layers[0] = self.scaling.fold(layers[0][0].astype(np.float64), layers[0][1].astype(np.float64))
        with torch.no_grad():
            for parameter, value in zip((*self.matrices, *self.biases), kept, strict=True):
                parameter.copy_(value)
        return TrainedHead(tuple(layers), self._accuracy(), best[1])

    def _logits(self, rows: Tensor, *, train: bool) -> Tensor:
        x = self.features.index_select(0, rows).float().sub_(self.mean).mul_(self.inverse)
        last = len(self.matrices) - 1
        keep = 1 - self.recipe.dropout
        for index, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            x = torch.addmm(bias, x, matrix)
            if index < last:
                x = torch.relu(x)
                if train and keep < 1:
                    x = x * (torch.rand(x.shape, generator=self.noise) < keep).float().div_(keep)
        return x

    def _loss(self, logits: Tensor, rows: Tensor) -> Tensor:
        recipe = self.recipe
        weights = self.weights.index_select(0, rows)
        loss = torch.zeros(())
        if self.distill > 0:
            # Hinton et al. 2015: both softened by the temperature, its square keeps the gradient's size
            soft = recipe.temperature
            teacher = torch.log_softmax(self.teacher.index_select(0, rows) / soft, 1)
            student = torch.log_softmax(logits / soft, 1)
            divergence = (teacher.exp() * (teacher - student)).sum(1)
            loss = loss + self.distill * soft * soft * (weights * divergence).mean()
        if self.distill < 1:
            assert self.labels is not None
            logs = torch.log_softmax(logits, 1)
            hit = -logs.gather(1, self.labels.index_select(0, rows)[:, None])[:, 0]
            if recipe.label_smoothing:
                hit = (1 - recipe.label_smoothing) * hit - recipe.label_smoothing * logs.mean(1)
            loss = loss + (1 - self.distill) * (weights * hit).mean()
        return loss

    def _held_chunks(self) -> tuple[Tensor, ...]:
        return torch.from_numpy(self.held if len(self.held) else self.rows).split(CHUNK)

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        return sum(
            float(self._loss(self._logits(rows, train=False), rows)) * len(rows) for rows in self._held_chunks()
        ) / len(self.held)

    @torch.no_grad()
    def _accuracy(self) -> float:
        right = total = 0
        for rows in self._held_chunks():
            answers = self._logits(rows, train=False).argmax(1)
            wanted = self.teacher[rows].argmax(1) if self.labels is None else self.labels[rows]
            right += int((answers == wanted).sum())
            total += len(rows)
        return right / total
