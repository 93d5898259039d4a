"""The whole flow: model and recipe in, artefact out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from eennc import __version__
from eennc.artifact import (
    MANIFEST,
    SCHEMA,
    ExitSpec,
    Manifest,
    TensorSpec,
    sha256_of,
    write_manifest,
    write_report,
)
from eennc.backends.base import BACKENDS, Backend, Emitted
from eennc.data.cache import Cache
from eennc.data.loading import check_split, load_split, warn_of_shared_samples
from eennc.data.sources import Spec
from eennc.data.splits import Split, Splits
from eennc.ir.cuts import exits_of, without_exits
from eennc.ir.graph import Module
from eennc.ir.types import TensorType
from eennc.passes.base import Context, Pass
from eennc.passes.exits.classifier import find_classifier
from eennc.passes.exits.train_exits import TrainingRecord
from eennc.passes.fold_input import FoldInput
from eennc.passes.pipeline import Instrument, Pipeline, check_order, facts_of
from eennc.plugins import load_file, load_plugins
from eennc.policy.summary import Summary
from eennc.recipe import InputSpec, Recipe
from eennc.recipe.reading import read_recipe
from eennc.recipe.requirements import Verdict, check
from eennc.support.atomic import atomic_folder
from eennc.support.diagnostics import Place, UserError
from eennc.support.instruments import Progress, Silent
from eennc.support.option_text import parse_inline
from eennc.support.options import build, to_inline


@dataclass(frozen=True)
class Compiled:
    """What a compile made. module: as the last pass left it, before the backend's own. summary: accuracy and cost, None
    where no pass solved thresholds. folder: the artefact, None where none was written. report: what report.json holds.
    """

    module: Module
    summary: Summary | None
    verdicts: tuple[Verdict, ...]
    folder: Path | None
    report: Mapping[str, object]

    @property
    def met(self) -> bool:
        """Whether every requirement is met."""
        return all(verdict.met for verdict in self.verdicts)


def default_cache() -> Path:
    """Where results are kept: $XDG_CACHE_HOME/eennc, or ~/.cache/eennc."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eennc"


def compile(
    model: str | Path | Module,
    *,
    passes: str | Path | Sequence[Pass] | None = None,
    backend: str | Backend | None = None,
    output: str | Path | None = None,
    data: Splits | Mapping[str, Spec] | None = None,
    load: Sequence[str | Path] = (),
    cache_dir: str | Path | None = None,
    seed: int | None = None,
    stop_after: str | None = None,
    instruments: Sequence[Instrument] = (),
    progress: Progress | None = None,
) -> Compiled:
    """Compile a model to an early-exit network.

    model: an `.onnx` or `.eir` file, or a module. passes: a passes.yaml, inline text, or passes; the preset where None.
    backend: its name, with options as `onnx{batch=free}`. output: the artefact's folder; None writes none. data: splits
    in the place of the recipe's, or sources by split. load: files with passes of the user's own. seed: in the place of
    the recipe's. stop_after: the pass to end with; nothing is written then.

    Raises UserError for the user's mistakes; the output folder is then as it was before.
    """
    progress = progress or Silent()
    load_plugins()
    for file in load:
        load_file(Path(file))
    recipe = _recipe(passes)
    chosen = _backend(backend, recipe)
    folder = None if output is None or stop_after else _checked_output(Path(output))
    module = _read(model)
    listed = [*_input_passes(recipe.input, module), *recipe.passes]
    check_order(listed, facts_of(module))
    ctx = Context(
        data=_splits(data, recipe, module, progress),
        cache=Cache(Path(cache_dir) if cache_dir is not None else default_cache()),
        seed=recipe.seed if seed is None else seed,
        progress=progress,
    )
    Pipeline(listed, instruments, reproducers=ctx.cache.folder).run(module, ctx, stop_after)

    summary = ctx.results.find(Summary)
    verdicts: tuple[Verdict, ...] = ()
    if recipe.require and not stop_after:
        if summary is None:
            raise UserError("there are requirements, but no pass solves thresholds", hint="add solve-thresholds")
        verdicts = tuple(check(recipe.require, summary))
    report = _report(model, module, recipe, chosen, ctx, listed, summary, verdicts)
    if folder is not None:
        _write(folder, module, chosen, ctx, recipe, model, report, instruments)
    return Compiled(module, summary, verdicts, folder, report)


def _recipe(passes: str | Path | Sequence[Pass] | None) -> Recipe:
    if passes is None or isinstance(passes, str):
        return read_recipe(passes)
    if isinstance(passes, Path):
        return read_recipe(str(passes.absolute()))
    return Recipe(tuple(passes))


def _backend(given: str | Backend | None, recipe: Recipe) -> Backend:
    if isinstance(given, Backend):
        return given
    if given is not None:
        entries = parse_inline(given, what="-b")
        if len(entries) != 1:
            raise UserError("one backend is wanted", allowed=f"known: {', '.join(BACKENDS)}")
        ((name, options),) = entries
    else:
        name, options = recipe.backend or ("onnx", {})
    return build(BACKENDS.get(name), options, what=f"backend '{name}'")


def _checked_output(folder: Path) -> Path:
    if folder.exists() and not folder.is_dir():
        raise UserError("the output is a file, not a folder", place=Place(str(folder)))
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise UserError(
            "the output folder holds something else than an artefact, which would be lost",
            place=Place(str(folder)),
            hint="give a new folder with -o, or empty this one",
        )
    return folder


def _read(model: str | Path | Module) -> Module:
    if isinstance(model, Module):
        return model.copy()
    path = Path(model)
    if path.suffix == ".eir":
        from eennc.ir.text import load_module

        return load_module(path)
    from eennc.interop.onnx.reader import read_model  # onnx is slow to import

    return read_model(path)


def _input_passes(spec: InputSpec | None, module: Module) -> list[Pass]:
    """What makes the network take the data as they are."""
    if spec is None:
        return []
    dtype = spec.dtype or module.main.arguments[0].type.dtype.numpy.name
    options = {"mean": spec.mean, "std": spec.std, "layout": spec.layout, "dtype": dtype}
    return [build(FoldInput, options, what="'input'")]


def _splits(data: Splits | Mapping[str, Spec] | None, recipe: Recipe, module: Module, progress: Progress) -> Splits:
    if isinstance(data, Splits):
        return data
    sources = dict(recipe.data)
    folder = recipe.folder
    found: dict[str, Split] = {}
    if data:
        sources = {**{name: source for name, source in sources.items() if name not in data}, **data}
    if not sources:
        return Splits()
    wanted, classes = _wanted(recipe.input, module)
    for name, source in sources.items():
        # a source given beside the recipe is relative to the working directory
        found[name] = load_split(name, source, Path() if data and name in data else folder)
        check_split(found[name], wanted, classes)
    splits = Splits(**found)
    warn_of_shared_samples(splits, progress)
    return splits


def _wanted(spec: InputSpec | None, module: Module) -> tuple[TensorType, int | None]:
    """The type of the data, and the number of classes of their labels."""
    main = module.main
    copy = Module(module.name, main.copy(), attributes=module.attributes)
    for p in _input_passes(spec, module):
        p.run(copy, Context())
    return copy.main.arguments[0].type, find_classifier(main).classes


def _write(
    folder: Path,
    module: Module,
    backend: Backend,
    ctx: Context,
    recipe: Recipe,
    model: str | Path | Module,
    report: Mapping[str, object],
    instruments: Sequence[Instrument],
) -> None:
    base = without_exits(module.main)
    exits = tuple(ExitSpec(op.exit, op.place, op.rule, op.temperature, op.threshold) for op in exits_of(module.main))
    lowered = module.copy()
    Pipeline(backend.lowering, instruments, reproducers=ctx.cache.folder).run(lowered, ctx)
    try:
        with atomic_folder(folder) as temporary:
            emitted = backend.emit(lowered, base, temporary)
            files = {path.name: sha256_of(path) for path in sorted(temporary.iterdir())}
            manifest = _manifest(module, exits, backend, emitted, recipe, model, files)
            write_manifest(manifest, temporary)
            write_report(report, temporary)
    except OSError as error:
        raise UserError(f"cannot write the artefact: {error.strerror}", place=Place(str(folder))) from error


def _manifest(
    module: Module,
    exits: tuple[ExitSpec, ...],
    backend: Backend,
    emitted: Emitted,
    recipe: Recipe,
    model: str | Path | Module,
    files: dict[str, str],
) -> Manifest:
    (argument,) = module.main.arguments
    classifier = find_classifier(module.main)
    shape = tuple(emitted.batch if dim == "N" and emitted.batch else dim for dim in argument.type.shape)
    labels = recipe.input.labels if recipe.input else None
    if labels is not None and len(labels) != classifier.classes:
        raise UserError(f"input: {len(labels)} labels are given, the model has {classifier.classes} classes")
    return Manifest(
        schema=SCHEMA,
        eennc=__version__,
        name=module.name,
        backend=to_inline(backend),
        source_file=_source_name(model),
        source_sha256=_source_digest(model),
        model=emitted.model,
        base=emitted.base,
        batch=emitted.batch,
        input=TensorSpec(argument.name, argument.type.dtype.numpy.name, shape),
        scores="probabilities" if classifier.probabilities else "logits",
        classes=classifier.classes,
        labels=labels,
        exits=exits,
        files=files,
    )


def _source_name(model: str | Path | Module) -> str:
    return model.name if isinstance(model, Module) else Path(model).name


def _source_digest(model: str | Path | Module) -> str:
    if isinstance(model, Module):
        return hashlib.sha256(model.fingerprint().encode()).hexdigest()
    return sha256_of(Path(model))


def _report(
    model: str | Path | Module,
    module: Module,
    recipe: Recipe,
    backend: Backend,
    ctx: Context,
    passes: Sequence[Pass],
    summary: Summary | None,
    verdicts: Sequence[Verdict],
) -> dict[str, object]:
    training = ctx.results.find(TrainingRecord)
    splits = (ctx.data.train, ctx.data.calibration, ctx.data.test)
    return {
        "eennc": __version__,
        "model": {"file": _source_name(model), "sha256": _source_digest(model)},
        "backend": to_inline(backend),
        "seed": ctx.seed,
        "passes": [to_inline(p) for p in passes],
        "data": {s.name: {"samples": len(s), "labels": s.y is not None, "sha256": s.digest} for s in splits if s},
        "labels": recipe.input.labels if recipe.input else None,
        "training": None if training is None else asdict(training),
        "result": None if summary is None else asdict(summary),
        "require": [{**asdict(verdict), "text": str(verdict)} for verdict in verdicts],
    }
