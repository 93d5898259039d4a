"""The splits that a recipe asks for, and whether they fit the passes and the model: before anything takes long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from eennc.data.loading import check_split, load_split, renamed
from eennc.data.sources import Spec
from eennc.data.splits import Split, Splits
from eennc.ir.graph import Module
from eennc.passes.base import Pass
from eennc.passes.fold_input import FoldInput
from eennc.policy.requirements import Requirement
from eennc.recipe.recipe import SPLITS, Recipe, SplitSource
from eennc.support.diagnostics import Place, UserError, unknown


def splits_of(recipe: Recipe, data: Splits | Mapping[str, Spec] | None) -> Splits:
    """The recipe's splits, those in `data` (whose paths start at the working directory) in their place.

    Raises UserError for what cannot be read.
    """
    given: dict[str, Split] = {}
    if isinstance(data, Splits):
        for name in SPLITS:
            split: Split | None = getattr(data, name)
            if split is not None:
                given[name] = renamed(split, name)
    for name, source in _sources(recipe, data).items():
        given[name] = load_split(name, source.spec, source.folder, source.place)
    return Splits(**given)


def _sources(recipe: Recipe, data: Splits | Mapping[str, Spec] | None) -> dict[str, SplitSource]:
    """The recipe's sources but for those that `data` take the place of, and those that are named in `data`."""
    sources = dict(recipe.sources)
    if isinstance(data, Splits):
        return {name: source for name, source in sources.items() if getattr(data, name) is None}
    for name, spec in (data or {}).items():
        if name not in SPLITS:
            raise unknown("split", name, SPLITS)
        sources[name] = SplitSource(spec, Path())
    return sources


def check_needs(passes: Sequence[Pass], requirements: Sequence[tuple[Requirement, Place | None]], data: Splits) -> None:
    """Raise UserError where a split or a pass is missing that something later asks for."""
    for p in passes:
        for name in SPLITS:
            if name in p.needs:
                data.need(name, p.name)
            split: Split | None = getattr(data, name)
            if name in p.labelled and split is not None and split.y is None:
                raise UserError(
                    f"the {name} data have no labels, which {p.name} needs", hint="add an array 'y' of class numbers"
                )
    deciding = [p for p in passes if p.ensures & {"thresholds", "stream-thresholds"}]
    solved = bool(deciding) and "thresholds" in deciding[-1].ensures and "calibration" in deciding[-1].needs
    for requirement, place in requirements:
        if not solved:
            why = f"the last thresholds are those of {deciding[-1].name}" if deciding else "no pass solves thresholds"
            raise UserError(
                f"'{requirement.quantity}' is required, but {why}",
                place=place,
                hint="put solve-thresholds behind it: what set-rule and solve-stream reach cannot be required"
                if deciding
                else "put solve-thresholds among the passes",
            )
        if getattr(data, requirement.split) is None:
            raise UserError(
                f"'{requirement.quantity}' is required on {requirement.split} data, which are not given",
                place=place,
                hint=f"give them below `data:`, as `{requirement.split}`",
            )


def check_data(
    module: Module,
    passes: Sequence[Pass],
    recipe: Recipe,
    splits: Splits,
    data: Splits | Mapping[str, Spec] | None,
) -> None:
    """Raise UserError where labels or data do not fit what the network will take, as far as that shows now.

    `splits` are what `splits_of` made of `recipe` and `data`.
    """
    main = module.main
    shape = main.returns[0].type.shape
    classes = shape[1] if len(shape) > 1 and isinstance(shape[1], int) else None
    if recipe.labels is not None:
        if classes is not None and len(recipe.labels) != classes:
            raise UserError(
                f"input: {len(recipe.labels)} labels for a model with {classes} classes", place=recipe.input_place
            )
        module.attributes["labels"] = recipe.labels
    taken = main.arguments[0].type
    for p in passes:
        if isinstance(p, FoldInput):
            try:
                taken = p.data_type(main)
            except UserError as error:
                raise (error.at(recipe.input_place) if recipe.input_place else error) from None
    sources = _sources(recipe, data)
    for name in SPLITS:
        split: Split | None = getattr(splits, name)
        if split is None:
            continue
        source = sources.get(name)
        try:
            check_split(split, taken, classes)
        except UserError as error:
            raise (error.at(source.place) if source and source.place else error) from None
