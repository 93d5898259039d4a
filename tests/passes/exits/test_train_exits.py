import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_network import CLASSES, data, made, network, run

from eennc.data.cache import Cache
from eennc.data.splits import Split
from eennc.ir.cuts import all_scores
from eennc.ir.graph import Module
from eennc.ir.interpreter import run_graph
from eennc.ir.verifier import verify
from eennc.passes.base import Context, Results
from eennc.passes.exits.heads import heads_of
from eennc.passes.exits.train_exits import TrainExits, TrainingRecord
from eennc.support.diagnostics import UserError
from eennc.support.instruments import Silent

QUICK = TrainExits(epochs=20)


class Recorder(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.steps = 0

    def advance(self, task: int, steps: int) -> None:
        self.steps += steps

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def accuracies(module: Module, split: Split) -> list[float]:
    """By the interpreter, of each exit and of the network."""
    scores = run_graph(module, all_scores(module.main), [split.x])
    return [float((rows.argmax(axis=1) == split.labels).mean()) for rows in scores]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Module, Context]:
    ctx = Context(data=data(), cache=Cache(tmp_path_factory.mktemp("cache")))
    return run(network(), ctx, QUICK), ctx


def test_heads_learn_and_the_network_stays(trained: tuple[Module, Context]) -> None:
    module, ctx = trained
    verify(module)
    heads = heads_of(module)
    found = accuracies(module, made("new", 300, 9))
    assert len(heads) >= 2
    assert min(found[:-1]) > 0.75
    before = {weight.name: weight.digest for weight in network().weights()}
    after = {weight.name: weight.digest for weight in module.weights()}
    assert before.items() <= after.items()
    record = ctx.results.get(TrainingRecord)
    assert [one.place for one in record.exits] == [head.place for head in heads]
    assert [one.accuracy for one in record.exits] == pytest.approx(found[:-1], abs=0.12)
    assert record.samples == 1300
    assert record.labels


def test_the_second_run_trains_nothing_and_ends_with_equal_bytes(trained: tuple[Module, Context]) -> None:
    module, ctx = trained
    recorder = Recorder()
    again = run(network(), Context(data=ctx.data, cache=ctx.cache, progress=recorder), QUICK)
    assert again.fingerprint() == module.fingerprint()
    assert recorder.steps == 0
    assert any("from the cache" in note for note in recorder.notes)


def test_another_cache_gives_equal_bytes(trained: tuple[Module, Context]) -> None:
    module, ctx = trained
    assert run(network(), Context(data=ctx.data), QUICK).fingerprint() == module.fingerprint()


def test_another_seed_or_option_trains_anew(trained: tuple[Module, Context]) -> None:
    module, ctx = trained
    for seed, train in ((1, QUICK), (0, replace(QUICK, dropout=0.3))):
        other = run(network(), Context(data=ctx.data, cache=ctx.cache, seed=seed), train)
        assert other.fingerprint() != module.fingerprint()


def test_a_cached_run_does_not_import_torch_or_onnxruntime(trained: tuple[Module, Context], tmp_path: Path) -> None:
    _, ctx = trained
    here = Path(__file__).parent
    code = (
        f"import sys; sys.path.insert(0, {str(here)!r})\n"
        "from pathlib import Path\n"
        "from small_network import *\n"
        f"ctx = Context(data=data(), cache=Cache(Path({str(ctx.cache.folder)!r})))\n"
        "run(network(), ctx, TrainExits(epochs=20))\n"
        "print([name for name in ('torch', 'onnxruntime') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_labels_the_network_itself_is_learnt(trained: tuple[Module, Context]) -> None:
    assert trained[1].data.train is not None
    unlabelled = replace(trained[1].data, train=Split("train", trained[1].data.train.x))
    ctx = Context(data=unlabelled, cache=trained[1].cache)
    module = run(network(), ctx, TrainExits(epochs=40))

    def agreement(module: Module) -> float:
        scores = run_graph(module, all_scores(module.main), [made("new", 300, 9).x])
        return float((scores[-2].argmax(axis=1) == scores[-1].argmax(axis=1)).mean())

    # the network's own answers have little to do with the labels here
    assert agreement(module) > agreement(trained[0]) + 0.2
    assert not ctx.results.get(TrainingRecord).labels


@pytest.mark.parametrize("probabilities", [False, True])
def test_a_baked_batch_and_probabilities(probabilities: bool) -> None:
    ctx = Context(data=data(301))
    module = run(network(batch=8, probabilities=probabilities), ctx, TrainExits(epochs=10))
    free = run(network(probabilities=probabilities), Context(data=data(301)), TrainExits(epochs=10))
    for mine, other in zip(heads_of(module), heads_of(free), strict=True):
        for layer, twin in zip(mine.layers, other.layers, strict=True):
            np.testing.assert_allclose(layer.inputs[1].array, twin.inputs[1].array, atol=0.05)  # type: ignore[attr-defined]


def spoiled(**changes: object) -> Context:
    splits = data(100)
    assert splits.train is not None
    return Context(data=replace(splits, train=replace(splits.train, **changes)))


def test_a_label_out_of_range_is_refused() -> None:
    labels = np.arange(100) % CLASSES
    labels[41] = 3
    with pytest.raises(UserError, match="sample 41 has label 3, but the model has 3 classes"):
        run(network(), spoiled(y=labels), QUICK)


def test_nan_is_refused() -> None:
    x = made("train", 100, 0).x
    x[17, 1, 2, 2] = np.nan
    with pytest.raises(UserError, match="sample 17 "):
        run(network(), spoiled(x=x), QUICK)


def test_a_missing_class_is_warned_of() -> None:
    recorder = Recorder()
    ctx = replace(spoiled(y=np.arange(100) % 2), progress=recorder)
    run(network(), ctx, TrainExits(epochs=1))
    assert "no sample of class 2" in recorder.warnings[0]


def test_no_train_split_is_refused() -> None:
    with pytest.raises(UserError, match="no train data, which train-exits needs"):
        run(network(), Context(), QUICK)


def test_features_in_float32_train_nearly_the_same(trained: tuple[Module, Context]) -> None:
    ctx = replace(trained[1], results=Results())
    module = run(network(), ctx, replace(QUICK, precision="float32"))
    assert module.fingerprint() != trained[0].fingerprint()
    new = made("new", 300, 9)
    np.testing.assert_allclose(accuracies(module, new), accuracies(trained[0], new), atol=0.05)
    assert ctx.results.get(TrainingRecord).precision == "float32"
