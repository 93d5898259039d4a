"""train-exits."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray

from eennc.data.cache import key_of
from eennc.data.features import Features
from eennc.data.splits import Split
from eennc.ir.graph import Module
from eennc.ir.rules import SMALLEST_PROBABILITY
from eennc.ir.values import Weight
from eennc.passes.base import Context, Pass
from eennc.passes.exits.extraction import EXTRACTOR, SCORES, column_name, extract
from eennc.passes.exits.heads import Head, heads_of, set_head_weights
from eennc.support.diagnostics import UserError
from eennc.support.instruments import task
from eennc.training.recipe import Recipe, Targets, TrainedHead

KIND = "heads"


@dataclass(frozen=True)
class ExitTraining:
    """How the training of one exit ended: `accuracy` on the held-out samples of the training data, `epoch` kept."""

    exit: int
    place: str
    features: int
    hidden: tuple[int, ...]
    accuracy: float
    epoch: int


@dataclass(frozen=True)
class TrainingRecord:
    """What train-exits did: `labels` says whether labels were there, or the base model's outputs alone."""

    extractor: str
    precision: str
    samples: int
    labels: bool
    exits: tuple[ExitTraining, ...]


@dataclass(frozen=True)
class TrainExits(Pass):
    """Train the heads of all exits on the frozen network.

    One pass over the training data keeps the features of all heads in the cache. Each head then learns the labels and
    the network's own outputs; without labels, the outputs alone. The network's own weights stay as they are. Trained
    heads are cached too.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"exits"})
    ensures: ClassVar[frozenset[str]] = frozenset({"trained-heads"})
    invalidates: ClassVar[frozenset[str]] = frozenset({"thresholds"})
    needs: ClassVar[frozenset[str]] = frozenset({"train"})

    epochs: Annotated[int, Ge(1), Le(100_000)] | None = Recipe.epochs
    """Passes over the training features; none: as many as make 2,000 steps, at least 10."""
    learning_rate: Annotated[float, Gt(0), Le(10)] = Recipe.learning_rate
    """Highest step size of AdamW; a cosine takes it to 0."""
    batch: Annotated[int, Ge(1), Le(1_000_000)] = Recipe.batch
    """Samples per step; fewer where an epoch would have less than 20 steps."""
    weight_decay: Annotated[float, Ge(0), Le(10)] = Recipe.weight_decay
    """Decay of the matrices, times the step size."""
    dropout: Annotated[float, Ge(0), Lt(1)] = Recipe.dropout
    """Share of hidden units dropped in each step."""
    distill: Annotated[float, Ge(0), Le(1)] = Recipe.distill
    """Share of the base model's outputs in the loss, the labels have the rest. 1 where there are no labels."""
    temperature: Annotated[float, Gt(0), Le(100)] = Recipe.temperature
    """Softens the base model's outputs before they are learnt."""
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = Recipe.label_smoothing
    """Share of a label's probability that is spread over all classes."""
    balance: Literal["equal", "sqrt", "full"] = Recipe.balance
    """How samples of rare classes count: as all others, more by the root of the rarity, or by all of it."""
    holdout: Annotated[float, Ge(0), Le(0.5)] = Recipe.holdout
    """Share of the training data that no step sees, and that picks the best epoch. 0: the last epoch."""
    precision: Literal["float16", "float32"] = "float16"
    """Number format of cached features."""

    def run(self, module: Module, ctx: Context) -> bool:
        """Give the heads their trained weights."""
        split = ctx.data.need("train", "train-exits")
        heads = heads_of(module)
        if not heads:
            raise UserError("train-exits: the model has no exit", hint="put insert-exits before it")
        classes = int(module.main.returns[0].type.shape[-1])
        _check(split, classes, ctx)
        features = extract(module, split, self.precision, ctx.cache, ctx.progress)
        targets = Targets(_teacher(features, module), split.y, split.weights)
        trained = self._train(heads, features, targets, ctx)
        for head, result in zip(heads, trained, strict=True):
            set_head_weights(module, head.number, _weights(head, result))
        ctx.results.put(
            TrainingRecord(
                EXTRACTOR, self.precision, len(split), split.y is not None, tuple(map(_record, heads, trained))
            )
        )
        return True

    def recipe(self, seed: int) -> Recipe:
        """The options as the trainer takes them."""
        return Recipe(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch=self.batch,
            weight_decay=self.weight_decay,
            dropout=self.dropout,
            distill=self.distill,
            temperature=self.temperature,
            balance=self.balance,
            label_smoothing=self.label_smoothing,
            holdout=self.holdout,
            seed=seed,
        )

    def _train(self, heads: Sequence[Head], features: Features, targets: Targets, ctx: Context) -> list[TrainedHead]:
        recipe = self.recipe(ctx.seed)
        # what one head learns depends on its own features alone, so another exit more or less trains no other anew
        given = [None if array is None else Weight("", array).digest for array in (targets.labels, targets.weights)]
        common = key_of(KIND, 1, asdict(recipe), features.digest(SCORES), given)
        keys = [key_of(common, features.digest(column_name(head.number)), head.hidden) for head in heads]
        missing = sum(not ctx.cache.has(KIND, key) for key in keys)
        if missing < len(heads):
            ctx.progress.note(f"train heads: {len(heads) - missing} of {len(heads)} from the cache")
        stop = threading.Event()
        with task(ctx.progress, "train heads", missing * recipe.epochs_for(len(targets.teacher))) as number:

            def tick() -> None:
                if stop.is_set():
                    raise CancelledError
                ctx.progress.advance(number, 1)

            def one(head: Head, key: str) -> TrainedHead:
                def compute() -> dict[str, NDArray[Any]]:
                    from eennc.training.heads import train_head  # torch takes seconds to import

                    rows = features.array(column_name(head.number))
                    return _arrays(train_head(rows, targets, head.hidden, recipe, tick))

                return _trained(ctx.cache.arrays(KIND, key, compute), len(head.layers))

            # each head has its own random numbers and one thread, so the number of workers decides no byte
            with ThreadPoolExecutor(max(1, min(os.cpu_count() or 1, missing))) as pool:
                jobs = [pool.submit(one, head, key) for head, key in zip(heads, keys, strict=True)]
                try:
                    return [job.result() for job in jobs]
                except BaseException:
                    stop.set()
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise


def _check(split: Split, classes: int, ctx: Context) -> None:
    if not len(split):
        raise UserError("the train split is empty")
    if len(split) < 2:
        raise UserError("one training sample is too few to train heads")
    if split.y is None:
        return
    wrong = (split.y < 0) | (split.y >= classes)
    if wrong.any():
        sample = int(np.argmax(wrong))
        raise UserError(
            f"training sample {sample} has label {int(split.y[sample])}, but the model has {classes} classes",
            allowed=f"labels: 0 to {classes - 1}",
        )
    absent = np.flatnonzero(np.bincount(split.y, minlength=classes) == 0)
    if len(absent):
        listed = ", ".join(map(str, absent[:10])) + (", ..." if len(absent) > 10 else "")
        ctx.progress.warn(f"the train split has no sample of class {listed}: early exits will hardly answer it")


def _teacher(features: Features, module: Module) -> NDArray[np.float32]:
    scores = features.array(SCORES)
    if module.attributes["scores"] == "probabilities":
        return np.log(np.maximum(scores, SMALLEST_PROBABILITY))
    return scores


def _arrays(head: TrainedHead) -> dict[str, NDArray[Any]]:
    named: dict[str, NDArray[Any]] = {"accuracy": np.array(head.accuracy), "epoch": np.array(head.epoch)}
    for index, (matrix, bias) in enumerate(head.layers):
        named[f"matrix{index}"], named[f"bias{index}"] = matrix, bias
    return named


def _trained(stored: dict[str, NDArray[Any]], layers: int) -> TrainedHead:
    pairs = tuple((stored[f"matrix{index}"], stored[f"bias{index}"]) for index in range(layers))
    return TrainedHead(pairs, float(stored["accuracy"]), int(stored["epoch"]))


def _weights(head: Head, trained: TrainedHead) -> dict[str, NDArray[np.float32]]:
    """The trained arrays by the names of the head's weights; nn.dense has its matrix as [out, in]."""
    named: dict[str, NDArray[np.float32]] = {}
    for layer, (matrix, bias) in zip(head.layers, trained.layers, strict=True):
        for weight, array in zip(layer.inputs[1:], (matrix.T, bias), strict=True):
            if isinstance(weight, Weight):
                named[weight.name] = np.ascontiguousarray(array)
    return named


def _record(head: Head, trained: TrainedHead) -> ExitTraining:
    return ExitTraining(head.number, head.place, head.width, head.hidden, trained.accuracy, trained.epoch)
