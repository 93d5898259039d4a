"""Runs ops alone, every tensor in memory of its own and of exactly its size: the address sanitizer then sees whatever a
kernel touches beside it. Results are written over operands where the form allows that, too.
"""

import functools
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from c_runs import WARNINGS, compiler

import eennc.backends.cortexm.kernels as kernels
from eennc.backends.cortexm.form import form_of
from eennc.backends.cortexm.writer import C_TYPES, Writer, rows_of
from eennc.ir.graph import Module
from eennc.ir.op import Op
from eennc.ir.types import DType
from eennc.ir.values import Value, Weight

_OBJECTS = tempfile.TemporaryDirectory(prefix="eennc-kernels-")
HOME = Path(kernels.__file__).parent
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
PLAIN = ("-O2", "-DEENNC_PLAIN")

MAIN = """
#include <stdio.h>
#include <stdlib.h>

typedef struct {{
    void (*run)(void *const *b, void *scratch);
    uint32_t inputs, scratch, result;
    int32_t over; /* the input whose memory the result takes; -1: none */
    uint32_t size[{most}];
}} case_t;
static const case_t cases[] = {{
{table}
}};

static void *dirty(size_t size)
{{
    uint8_t *const memory = malloc(size);
    for (size_t i = 0; i < size; i++) {{
        memory[i] = (uint8_t)(0xa5u + 37u * i);
    }}
    return memory;
}}

int main(void)
{{
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {{
        const case_t *const c = &cases[n];
        void *b[{most} + 1], *const scratch = c->scratch ? dirty(c->scratch) : NULL;
        for (uint32_t i = 0; i < c->inputs; i++) {{
            b[i] = dirty(c->size[i]);
            if (fread(b[i], 1, c->size[i], stdin) != c->size[i]) {{
                return 3;
            }}
        }}
        b[{most}] = c->over >= 0 ? b[c->over] : dirty(c->result);
        fprintf(stderr, "case %u\\n", (unsigned)n);
        c->run(b, scratch);
        if (fwrite(b[{most}], 1, c->result, stdout) != c->result) {{
            return 4;
        }}
        if (c->over < 0) {{
            free(b[{most}]);
        }}
        for (uint32_t i = 0; i < c->inputs; i++) {{
            free(b[i]);
        }}
        free(scratch);
    }}
    return 0;
}}
"""


@dataclass(frozen=True)
class Call:
    """One way to run the one op of a module; over: the operand that the result is written over."""

    module: Module
    over: int | None


class _Alone(Writer):
    """Addresses are those of blocks of their own."""

    names: dict[Value, str]

    def at(self, value: Value) -> str:
        if isinstance(value, Weight):
            return super().at(value)
        return f"({C_TYPES[value.type.dtype]} *)b[{self.names[value]}]"

    def scratch(self, type: str = "int8_t") -> str:
        return f"({type} *)scratch"


def calls_of(module: Module) -> list[Call]:
    """With the result in memory of its own, and over each operand that the form names."""
    op = the_op(module)
    found = [Call(module, None)]
    for operand in form_of(op).in_place():
        value = op.operands[operand]
        assert value is not None
        assert value.type.bytes() >= op.result.type.bytes()
        if not isinstance(value, Weight):
            found.append(Call(module, module.main.arguments.index(value)))
    return found


def the_op(module: Module) -> Op:
    (op,) = module.main.ops
    return op


@functools.cache
def _objects(flags: tuple[str, ...]) -> list[str]:
    folder = Path(_OBJECTS.name) / str(len(list(Path(_OBJECTS.name).iterdir())))
    folder.mkdir()
    subprocess.run(
        [compiler(), *WARNINGS, *flags, "-c", *sorted(map(str, HOME.glob("*.c")))], cwd=folder, check=True, timeout=300
    )
    return sorted(map(str, folder.glob("*.o")))


class Program:
    """Calls in one executable."""

    def __init__(self, folder: Path, calls: Sequence[Call], flags: tuple[str, ...]) -> None:
        self.calls = calls
        self.made = folder / "calls"
        most = max(len(call.module.main.arguments) for call in calls)
        table: list[str] = []
        text = ["#include <math.h>", '#include "eennc_kernels.h"']
        for number, call in enumerate(calls):
            text += _function(call, number, most)
            inputs = [argument.type.bytes() for argument in call.module.main.arguments]
            # what a core with the DSP extension needs is not less
            scratch = form_of(the_op(call.module)).scratch(dsp=False)
            over = -1 if call.over is None else call.over
            size = the_op(call.module).result.type.bytes()
            table.append(
                f"{{run{number}, {len(inputs)}, {scratch}, {size}, {over}, {{{', '.join(map(str, inputs))}}}}},"
            )
        text.append(MAIN.format(most=most, table="\n".join(table)))
        (folder / "calls.c").write_text("\n".join(text))
        command = [compiler(), *WARNINGS, *flags, "-I", str(HOME), str(folder / "calls.c"), *_objects(flags)]
        subprocess.run([*command, "-lm", "-o", str(self.made)], check=True, timeout=300)

    def run(self, inputs: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
        """The result of each call."""
        content = b"".join(np.ascontiguousarray(x).tobytes() for given in inputs for x in given)
        done = subprocess.run([str(self.made)], input=content, capture_output=True, timeout=120)
        if done.returncode:
            lines = done.stderr.decode(errors="replace").splitlines()
            numbers = [line for line in lines if line.startswith("case ")]
            call = self.calls[int(numbers[-1].split()[1])]
            report = "\n".join(line for line in lines if not line.startswith("case "))
            raise AssertionError(f"{shown(call)}: exit {done.returncode}\n{report[:3000]}")
        found: list[np.ndarray] = []
        at = 0
        for call in self.calls:
            type = the_op(call.module).result.type
            found.append(np.frombuffer(done.stdout, type.dtype.numpy, type.elements(), at).reshape(type.concrete(1)))
            at += type.bytes()
        assert at == len(done.stdout)
        return found


def shown(call: Call) -> str:
    op = the_op(call.module)
    return f"{op.name} {[str(x.type) for x in op.inputs]} {op.attrs} over {call.over}"


def _function(call: Call, number: int, most: int) -> list[str]:
    op = the_op(call.module)
    writer = _Alone(f"case{number}", {})
    writer.names = {value: str(index) for index, value in enumerate(call.module.main.arguments)}
    writer.names[op.result] = str(most)
    writer.begin(op, "main")
    form_of(op).write(writer)
    lines: list[str] = []
    for symbol, array in writer.constants.items():
        lines += [f"static const {C_TYPES[DType.of(array.dtype)]} {symbol}[] = {{", *rows_of(array), "};"]
    body = [*writer.descriptions, *writer.functions["main"].statements]
    return [*lines, f"static void run{number}(void *const *b, void *scratch)", "{", "(void)scratch;", *body, "}"]
