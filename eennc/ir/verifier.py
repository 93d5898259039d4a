"""Checks a module: SSA, types, names, exits, and what its stage allows."""

from __future__ import annotations

from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op, VerifyError
from eennc.ir.ops.call import Call
from eennc.ir.ops.exit import Exit
from eennc.ir.stages import STAGES
from eennc.ir.values import Argument, Value, Weight


def verify(module: Module) -> None:
    """Raise VerifyError, with the op in its text line, where the module breaks a rule of the IR."""
    stage = STAGES.get(module.stage)
    if stage is None:
        raise VerifyError(f"module '{module.name}' is in no known stage: '{module.stage}'")
    if not stage.functions and len(module.graphs) > 1:
        raise VerifyError(f"stage '{stage.name}' allows no graph but main; form-segments makes functions")
    _verify_weight_names(module)
    for name, graph in module.graphs.items():
        if name != graph.name:
            raise VerifyError(f"graph '@{graph.name}' is filed as '@{name}'")
        _verify_flow(graph)
        for op in graph.ops:
            if not stage.allows(op):
                raise VerifyError(f"stage '{stage.name}' does not allow {op.name}: it is {stage.meaning}", op)
            _verify_op(op)
            if isinstance(op, Call):
                _verify_call(op, module)
            if isinstance(op, (Exit, Call)) and graph is not module.main:
                raise VerifyError(f"{op.name} may stand in main only", op)
            if isinstance(op, Exit) and op.kind != module.attributes.get("scores", op.kind):
                raise VerifyError(f"the exit gives {op.kind}, the network {module.attributes['scores']}", op)
    _verify_points(module)
    _verify_exits(module.main)


def _verify_points(module: Module) -> None:
    names = module.attributes.get("points", ())
    count = len(names) if isinstance(names, tuple) else 0
    for op in module.main.ops:
        if isinstance(op, Exit) and len(op.points) != count:
            raise VerifyError(
                f"the exit has {len(op.points)} thresholds in 'points', the module {count} such points", op
            )


def _verify_weight_names(module: Module) -> None:
    names: set[str] = set()
    for weight in module.weights():
        if weight.name in names:
            raise VerifyError(f"two weights are called '@{weight.name}'")
        names.add(weight.name)


def _verify_flow(graph: Graph) -> None:
    defined: set[Value] = set(graph.arguments)
    if len({argument.name for argument in graph.arguments}) < len(graph.arguments):
        raise VerifyError(f"graph '@{graph.name}' has two arguments of one name")
    for op in graph.ops:
        for value in op.inputs:
            if not isinstance(value, Weight) and value not in defined:
                what = f"argument '%{value.name}' of another graph" if isinstance(value, Argument) else "a value"
                raise VerifyError(f"{op.name} uses {what} that is not defined before it", op)
        for result in op.results:
            if result.op is not op or result in defined:
                raise VerifyError(f"a result of {op.name} is defined twice, or is another op's", op)
            defined.add(result)
    if not graph.returns:
        raise VerifyError(f"graph '@{graph.name}' returns nothing")
    for value in graph.returns:
        if not isinstance(value, Weight) and value not in defined:
            raise VerifyError(f"graph '@{graph.name}' returns a value that it does not define")


def _verify_op(op: Op) -> None:
    op.check_operands()
    op.check_attrs()
    inferred = op.inferred_types()
    if inferred is None:
        return
    found = tuple(result.type for result in op.results)
    if found != inferred:
        raise VerifyError(f"{op.name} has result types {_listed(found)}, its operands imply {_listed(inferred)}", op)


def _listed(types: tuple[object, ...]) -> str:
    return ", ".join(map(str, types)) or "none"


def _verify_call(op: Call, module: Module) -> None:
    callee = module.graphs.get(op.callee)
    if callee is None:
        raise VerifyError(f"there is no graph '@{op.callee}'", op)
    expected = (
        [argument.type for argument in callee.arguments],
        [value.type for value in callee.returns],
    )
    found = ([value.type for value in op.args], [result.type for result in op.results])
    if found != expected:
        raise VerifyError(f"the call does not fit the arguments and results of '@{op.callee}'", op)


def _verify_exits(main: Graph) -> None:
    """Exits are numbered by the data flow, answer in the network's type, and nothing passes them uncarried.

    Every value belongs to the stretch between two exits in which it is made. An op may only mix values of one
    stretch, so that nothing can move across an exit.
    """
    stretch: dict[Value, int] = dict.fromkeys(main.arguments, 0)
    count = 0
    for op in main.ops:
        found = {stretch[value] for value in op.inputs if value in stretch}
        if len(found) > 1:
            raise VerifyError(f"{op.name} uses a value from before an exit without the exit's carry", op)
        if not found and not isinstance(op, Exit):
            continue  # made of weights alone, so usable everywhere
        here = found.pop() if found else 0
        if isinstance(op, Exit):
            if op.exit != here:
                raise VerifyError(f"this is exit {here} by the data flow, it says {op.exit}", op)
            if op.exit != count:
                behind = f"exit {here - 1}" if here else "the input"
                raise VerifyError(f"two exits stand side by side behind {behind}", op)
            if len(main.returns) != 1 or op.scores.type != main.returns[0].type:
                raise VerifyError("an exit's scores must have the type of the network's own", op)
            count += 1
            here += 1
        for result in op.results:
            stretch[result] = here
    for value in main.returns:
        if stretch.get(value, count) != count:
            raise VerifyError(f"'@{main.name}' returns a value from before the last exit")
