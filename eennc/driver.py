"""The whole flow: model in, passes, backend, artefact out. What the command does, from Python."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from eennc.artifact import (
    FLOAT_IR,
    INT8_IR,
    SCHEMA,
    ExitSpec,
    Manifest,
    PointSpec,
    TensorSpec,
    build_of,
    check_replaceable,
    hash_files,
    plain,
    sha256_of,
    write_manifest,
    write_report,
)
from eennc.backends.base import Backend, check_rules
from eennc.data.cache import Cache
from eennc.data.loading import warn_of_shared_samples
from eennc.data.sources import Spec
from eennc.data.splits import Splits
from eennc.ir.cuts import exits_of, without_exits
from eennc.ir.graph import Module
from eennc.ir.rules import Kind
from eennc.ir.text import load_module, save_module
from eennc.ir.types import TensorType
from eennc.passes.base import Context, Pass
from eennc.passes.cost import graph_cost, module_cost
from eennc.passes.exits.classifier import prepare_scores
from eennc.passes.exits.points import operating_points
from eennc.passes.exits.prune import remove_exits
from eennc.passes.exits.solve_thresholds import NORMAL
from eennc.passes.exits.train_exits import TrainingRecord
from eennc.passes.memory.plan_memory import MemoryPlan
from eennc.passes.pipeline import Instrument, Pipeline, check_order, facts_of, up_to
from eennc.passes.reproducer import PassFailed, write_reproducer
from eennc.plugins import load_file, load_plugins
from eennc.policy.drift import calibration_counts
from eennc.policy.quantisation import QuantisationSummary
from eennc.policy.requirements import Verdict, judge
from eennc.policy.stream_table import StreamSummary
from eennc.policy.summary import Summary
from eennc.policy.table import Policy, Tables
from eennc.recipe import SPLITS, Recipe, build_backend, recipe_of
from eennc.recipe.inputs import check_data, check_needs, splits_of
from eennc.report import write_page
from eennc.support.atomic import atomic_folder
from eennc.support.diagnostics import UserError
from eennc.support.instruments import Progress, Silent
from eennc.support.options import to_inline

if TYPE_CHECKING:
    import onnx


LOWERING = ("tabulated-input", "integer-input", "channels-last", "segments")
"""Facts that the backends' own passes make of a network."""


@dataclass(frozen=True)
class Compiled:
    """What a compilation gave.

    module: as the last pass left it, segmented unless `stop_after` ended before. folder and manifest: the artefact,
    None where none was written. report: what report.json holds. summary: the early-exit network against the base
    network, None where no pass solved thresholds. verdicts: one per requirement. seconds: wall time.
    """

    module: Module
    folder: Path | None
    manifest: Manifest | None
    report: Mapping[str, Any]
    summary: Summary | None
    verdicts: tuple[Verdict, ...]
    seconds: float

    @property
    def met(self) -> bool:
        """Whether every requirement is met."""
        return all(verdict.met for verdict in self.verdicts)


@dataclass(frozen=True)
class Source:
    """Where the model came from: the file's (or network's) name, and a SHA-256, hexadecimal: of the ONNX file (external
    data left out), or of the module's text and weights.
    """

    name: str
    sha256: str


def compile(
    model: str | Path | Module | onnx.ModelProto,
    *,
    passes: str | Path | Sequence[Pass] | None = None,
    backend: str | Backend | None = None,
    device: str | None = None,
    output: str | Path | None = None,
    data: Splits | Mapping[str, Spec] | None = None,
    seed: int | None = None,
    cache: str | Path | None = None,
    load: Sequence[str | Path] = (),
    progress: Progress | None = None,
    instruments: Sequence[Instrument] = (),
    stop_after: str | None = None,
) -> Compiled:
    """Make an early-exit network of a trained classifier.

    model: an ONNX or .eir file, an onnx.ModelProto, or a module (which stays as it is). passes: the path of a
    passes.yaml, inline text, passes, or None for the preset. backend: inline text or a backend; None for the recipe's,
    else onnx. device: what the artefact will run on, for backends that compile for one. output: the folder to write
    the artefact to; None writes nothing. data: splits, or what passes.yaml may
    say of each; takes the place of the recipe's, split by split. seed: of everything random; None for the recipe's,
    else 0. cache: the folder for features, heads and scores; None for `default_cache()`. load: Python files with passes
    or backends. stop_after: the pass (or group) after which to end, without an artefact.

    Raises UserError for what is wrong with the arguments or the files, PassFailed (with a reproducer) for what is wrong
    with eennc, OSError where files cannot be written. The old content of `output` is replaced when all is done.
    """
    began = time.perf_counter()
    recorder = _Recorder(progress or Silent())
    load_plugins()
    for file in load:
        load_file(Path(file))
    recipe = recipe_of(passes)
    target = _for_device(backend if isinstance(backend, Backend) else _backend(backend, recipe), device)
    folder = None if output is None else Path(output).resolve()
    if folder is not None:
        if stop_after is not None:
            raise UserError("stop_after ends before there is an artefact to write", hint="leave `output` away")
        check_replaceable(folder)
    whole = up_to(stop_after, _all_passes(recipe, target))

    module, source = _read(model)
    if module.stage == "segmented" and folder is not None:
        raise UserError(
            "the module is segmented already, so its base network is not known",
            hint="compile the module as it was before form-segments",
        )
    facts = facts_of(module)
    check_order(whole, facts)
    splits = splits_of(recipe, data)
    for p in whole:
        p.check_target(target.target())
    check_needs(whole, () if stop_after else recipe.requirements, splits)
    check_data(module, whole, recipe, splits, data)
    warn_of_shared_samples(splits, recorder)

    chosen = seed if seed is not None else recipe.seed or 0
    if chosen < 0:
        raise UserError(f"the seed must not be negative, as {chosen} is")
    ctx = Context(splits, Cache(Path(cache) if cache else default_cache()), chosen, recorder, target=target.target())
    ctx.rules = None if stop_after else target.rules
    before, floats, laid = _Before("segments"), _Before("int8"), _Before(*LOWERING)
    integers = any("int8" in held for held in (facts, *(p.ensures for p in whole)))
    asked = _BeforeLongWork(whole, None if stop_after else target, integers)
    Pipeline(whole, (before, floats, laid, asked, *instruments)).run(module, ctx)

    verdicts = () if stop_after else _judge(recipe, ctx)
    report = _report(module, before.module or module, source, target, whole, ctx, verdicts, recorder.warnings)
    manifest = None
    if folder is not None:
        kept = _both_forms(floats.module, laid.module, module)
        taken = (laid.module or module).main.arguments[0].type
        manifest = _write(folder, module, before.module or module, taken, kept, source, target, ctx, report)
    return Compiled(
        module=module,
        folder=folder,
        manifest=manifest,
        report=report,
        summary=ctx.results.find(Summary),
        verdicts=verdicts,
        seconds=time.perf_counter() - began,
    )


def default_cache() -> Path:
    """Where results are kept between runs: `eennc` in the user's cache folder (XDG_CACHE_HOME)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "eennc"


def _both_forms(floats: Module | None, integers: Module | None, module: Module) -> dict[str, Module]:
    """What a quantised artefact keeps of the network: before it was quantised, and after, with its last thresholds."""
    if floats is None or integers is None:
        return {}
    left = {exit.place: exit for exit in exits_of(module.main)}
    remove_exits(integers, {exit.exit for exit in exits_of(integers.main) if exit.place in left})
    for exit in exits_of(integers.main):
        exit.attrs.update(left[exit.place].attrs)
    return {FLOAT_IR: floats, INT8_IR: integers}


class _Recorder:
    """Passes progress on and keeps the warnings, each once."""

    def __init__(self, progress: Progress) -> None:
        self.task = progress.task
        self.advance = progress.advance
        self.finish = progress.finish
        self.note = progress.note
        self.warnings: list[str] = []
        self._warn = progress.warn

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
            self._warn(text)


class _Before:
    """Keeps the module as it was when the first pass that ensures one of these facts began."""

    def __init__(self, *facts: str) -> None:
        self.facts = frozenset(facts)
        self.module: Module | None = None

    def before(self, p: Pass, module: Module) -> None:
        if self.module is None and self.facts & p.ensures:
            self.module = module.copy()

    def after(self, p: Pass, module: Module, changed: bool, seconds: float) -> None:
        pass


class _BeforeLongWork:
    """Asks the passes to come, and the backend, about the network when the passes that need no data are through: those
    are quick.
    """

    def __init__(self, passes: Sequence[Pass], target: Backend | None, integers: bool) -> None:
        self.left = list(passes)
        self.target = target
        self.integers = integers
        self.asked = False

    def before(self, p: Pass, module: Module) -> None:
        if not self.asked and (p.needs or (self.target is not None and p in self.target.passes())):
            preview = module
            for coming in self.left:
                preview = coming.preview(preview)
            if self.target is not None:
                check_rules(self.target, preview)
                self.target.check(preview, integers=self.integers)
            self.asked = True
        self.left.remove(p)

    def after(self, p: Pass, module: Module, changed: bool, seconds: float) -> None:
        pass


def _backend(text: str | None, recipe: Recipe) -> Backend:
    if text is not None:
        return build_backend(text)
    return recipe.backend or build_backend("onnx")


def _for_device(target: Backend, device: str | None) -> Backend:
    """The backend with another device than its own."""
    if device is None:
        return target
    if "device" not in {field.name for field in dataclasses.fields(target)}:
        raise UserError(f"the {target.name} backend compiles for no device", hint="--device is for -b cortexm")
    return dataclasses.replace(target, device=device)  # type: ignore[call-arg]


def _all_passes(recipe: Recipe, target: Backend) -> list[Pass]:
    first: list[Pass] = [] if recipe.input is None else [recipe.input]
    whole = [*first, *recipe.passes]
    # a user may ask for these too, to run passes of his own behind them
    behind = len(whole)
    for p in reversed(target.passes()):
        asked = [index for index, q in enumerate(whole) if isinstance(q, type(p))]
        if not asked:
            whole.insert(behind, p)
        behind = asked[0] if asked else behind
    return whole


def _read(model: Any) -> tuple[Module, Source]:
    if isinstance(model, Module):
        return model.copy(), Source(model.name, model.fingerprint())
    if isinstance(model, (str, Path)):
        path = Path(model)
        if path.suffix == ".eir":
            module = load_module(path)
            # the file is text, its weights lie beside it
            return module, Source(path.name, module.fingerprint())
        from eennc.interop.onnx.reader import read_model  # onnx is slow to import

        return read_model(path), Source(path.name, sha256_of(path))
    from eennc.interop.onnx.reader import module_from_proto

    name = model.graph.name or "model"
    content = model.SerializeToString(deterministic=True)
    return module_from_proto(model, name), Source(name, hashlib.sha256(content).hexdigest())


def _points(module: Module, ctx: Context) -> tuple[PointSpec, ...]:
    """The operating points, with what their exits answer on calibration, unless a pass has changed the thresholds since
    they were solved.
    """
    points = operating_points(module)
    tables, policy = ctx.results.find(Tables), ctx.results.find(Policy)
    counts: dict[str, tuple[int, ...]] = {}
    stream = ctx.results.find(StreamSummary)
    if stream is not None and stream.thresholds == tuple(points[NORMAL]):
        counts = {NORMAL: stream.calibration.counts}
    elif tables is not None and policy is not None:
        solved = [
            (place, threshold, temperature)
            for place, threshold, temperature, stays in zip(
                tables.places, policy.thresholds, policy.temperatures, policy.active, strict=True
            )
            if stays
        ]
        if solved == [(exit.place, exit.threshold, exit.temperature) for exit in exits_of(module.main)]:
            counts = calibration_counts(tables, policy, points)
    return tuple(PointSpec(name, tuple(limits), counts.get(name)) for name, limits in points.items())


def _judge(recipe: Recipe, ctx: Context) -> tuple[Verdict, ...]:
    tables, policy = ctx.results.find(Tables), ctx.results.find(Policy)
    if tables is None or policy is None:
        return ()
    return tuple(judge(requirement, tables, policy) for requirement, _ in recipe.requirements)


def _report(
    module: Module,
    network: Module,
    source: Source,
    target: Backend,
    passes: Sequence[Pass],
    ctx: Context,
    verdicts: Sequence[Verdict],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """What report.json holds: nothing that a second run of the same would not write again."""
    data = {name: getattr(ctx.data, name) for name in SPLITS}
    labels = module.attributes.get("labels")
    report = {
        "eennc": version("eennc"),
        "model": {
            "name": module.name,
            "source_file": source.name,
            "source_sha256": source.sha256,
            "input": str(module.main.arguments[0].type),
            "labels": labels,
        },
        "backend": to_inline(target),
        "passes": [to_inline(p) for p in passes],
        "seed": ctx.seed,
        "data": {
            name: {
                "samples": len(split),
                "labels": split.y is not None,
                "groups": split.groups is not None,
                "sha256": split.digest,
            }
            for name, split in data.items()
            if split is not None
        },
        "result": ctx.results.find(Summary),
        "stream": ctx.results.find(StreamSummary),
        "quantisation": ctx.results.find(QuantisationSummary),
        "cost": None if network.stage == "segmented" else module_cost(network),
        "base_cost": None if network.stage == "segmented" else graph_cost(without_exits(network.main)),
        "training": ctx.results.find(TrainingRecord),
        "memory": ctx.results.find(MemoryPlan),
        "require": verdicts,
        "warnings": warnings,
    }
    return cast("dict[str, Any]", plain(report))


def _write(
    folder: Path,
    module: Module,
    network: Module,
    taken: TensorType,
    kept: Mapping[str, Module],
    source: Source,
    target: Backend,
    ctx: Context,
    report: Mapping[str, Any],
) -> Manifest:
    base = without_exits(network.main)
    # find-exits has said so already, unless it did not run
    attributes = network.attributes
    if "scores" not in attributes:
        prepare_scores(network)
    (argument,) = module.main.arguments
    with atomic_folder(folder) as temporary:
        check_rules(target, module)
        try:
            emitted = target.emit(module, base, temporary)
        except (UserError, OSError):
            raise
        except Exception as error:
            message = f"backend '{target.name}' failed: {type(error).__name__}: {error}"
            reproducer = write_reproducer(network, target.passes(), ctx.seed, error, Path())
            raise PassFailed(message, reproducer) from error
        for name, stage in kept.items():
            save_module(stage, temporary / name)
        files = hash_files(temporary, (path.name for path in temporary.iterdir()))
        manifest = Manifest(
            schema=SCHEMA,
            eennc=version("eennc"),
            name=module.name,
            backend=target.name,
            source_file=source.name,
            source_sha256=source.sha256,
            model=emitted.model,
            base=emitted.base,
            batch=emitted.batch,
            input=TensorSpec(argument.name, taken.dtype.numpy.name, taken.shape),
            scores=cast(Kind, attributes["scores"]),
            classes=cast(int, attributes["classes"]),
            labels=cast("tuple[str, ...] | None", module.attributes.get("labels")),
            exits=tuple(
                ExitSpec(op.exit, op.place, op.rule, op.temperature, op.threshold, op.class_thresholds)
                for op in exits_of(module.main)
            ),
            files=files,
            c=emitted.c,
            points=_points(module, ctx),
            build=build_of(files),
            point_input=emitted.point_input,
            state_input=emitted.state_input,
        )
        write_report(report, temporary)
        write_page(report, temporary)
        write_manifest(manifest, temporary)
    return manifest
