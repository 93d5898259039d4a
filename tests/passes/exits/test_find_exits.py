from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from light_models import seeded
from network_builder import Net

from eennc.interop.onnx.reader import module_from_proto, read_model
from eennc.ir.graph import Module
from eennc.ir.ops.candidate import Candidate
from eennc.ir.ops.concat import Concat
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.max_pool import MaxPool
from eennc.ir.ops.mul import Mul
from eennc.ir.ops.transpose import Transpose
from eennc.ir.types import DType, TensorType
from eennc.ir.values import Weight
from eennc.ir.verifier import verify
from eennc.passes.base import Context
from eennc.passes.exits.find_exits import FindExits
from eennc.passes.exits.flow import chain_of
from eennc.passes.pipeline import build_passes
from eennc.support.diagnostics import UserError

EVERYWHERE = FindExits(min_saving=0, min_gap=0)


def marks(module: Module) -> dict[str, str]:
    """Place -> op that makes the marked tensor."""
    found = [op for op in module.main.ops if isinstance(op, Candidate)]
    return {op.place: op.x.op.name.removeprefix("nn.") for op in found}  # type: ignore[attr-defined]


def places(module: Module, p: FindExits = EVERYWHERE) -> list[str]:
    p.run(module, Context())
    verify(module)
    return list(marks(module))


def test_behind_residual_blocks_never_inside() -> None:
    net = Net(2, 8, 8)
    y = net.relu(net.conv(net.input, 4, node="/conv1/Conv"), "/Relu")
    for block in ("layer1/layer1.0", "layer1/layer1.1", "layer2/layer2.0"):
        y = net.residual(y, block)
    module = net.classified(y)
    assert places(module) == ["Relu", "layer1.0", "layer1.1"]
    assert set(marks(module).values()) == {"relu"}


def test_blocks_that_activate_first_end_at_their_sum() -> None:
    net = Net(2, 8, 8)
    y = net.conv(net.input, 4, node="/stem/Conv")
    for block in range(3):
        branch = net.conv(net.relu(net.norm(y)), 4)
        y = net.add(y, net.conv(net.relu(net.norm(branch)), 4), f"/block{block}/Add")
    module = net.classified(net.relu(net.norm(y)))
    assert places(module) == ["stem", "block0", "block1"]


def test_behind_normalisation_activation_and_pooling() -> None:
    net = Net(2, 8, 8)
    y = net.op(MaxPool(x=net.relu(net.norm(net.conv(net.input, 4))), kernel=(2, 2), strides=(2, 2)), "/pool/MaxPool")
    module = net.classified(net.conv(net.conv(y, 4, node="/b/Conv"), 4))
    places(module)
    assert marks(module) == {"pool": "max_pool", "b": "conv"}


def test_behind_concatenated_branches() -> None:
    net = Net(2, 8, 8)
    y = net.conv(net.input, 4, node="/stem/Conv")
    for block in range(2):
        y = net.op(Concat(xs=[net.conv(y, 4, 1), net.relu(net.conv(y, 4))], axis=1), f"/mix{block}/Concat")
    assert places(net.classified(y)) == ["stem", "mix0"]


def test_a_gate_is_an_activation() -> None:
    """SiLU forks the tensor; squeeze-and-excitation even has layers in its fork."""
    net = Net(2, 8, 8)
    y = net.conv(net.input, 4)
    y = net.op(Mul(a=y, b=net.opaque("Sigmoid", [y], y.type)), "/act/Mul")
    squeezed = net.op(GlobalAveragePool(x=net.relu(net.conv(y, 4), "/x/Relu")))
    excited = net.conv(net.relu(net.conv(squeezed, 2, 1)), 4, 1)
    y = net.op(Mul(a=squeezed.op.inputs[0], b=excited), "/se/Mul")  # type: ignore[attr-defined]
    assert places(net.classified(net.conv(y, 4))) == ["act", "se"]


def test_a_separable_convolution_is_one_block() -> None:
    net = Net(2, 8, 8)
    y = net.relu(net.conv(net.input, 4, node="/stem/Conv"), "/stem/Relu")
    for block in range(3):
        y = net.relu(net.depthwise(y, f"/dw{block}/Conv"), f"/dw{block}/Relu")
        y = net.relu(net.conv(y, 8, 1, node=f"/pw{block}/Conv"), f"/pw{block}/Relu")
    assert places(net.classified(y)) == ["stem", "pw0", "pw1"]


def test_an_inverted_bottleneck_is_one_block() -> None:
    net = Net(2, 8, 8)
    y = net.conv(net.input, 4, node="/stem/Conv")
    for block in range(3):
        y = net.depthwise(net.relu(net.conv(y, 16, 1, node="/expand/Conv")), "/dw/Conv")
        y = net.conv(net.relu(y), 4, 1, node=f"/project{block}/Conv")
    assert places(net.classified(y)) == ["stem", "project0", "project1"]


def test_a_narrowing_layer_begins_a_block() -> None:
    net = Net(2, 8, 8)
    y = net.conv(net.input, 8, node="/stem/Conv")
    for block in range(2):
        squeezed = net.relu(net.conv(y, 3, 1, node="/squeeze/Conv"))
        y = net.op(Concat(xs=[net.conv(squeezed, 4, 1), net.conv(squeezed, 4)], axis=1), f"/fire{block}/Concat")
    assert places(net.classified(y)) == ["stem", "fire0"]


def test_vectors_of_dense_layers() -> None:
    net = Net(20)
    y = net.input
    for layer in range(4):
        y = net.relu(net.dense(y, 16, f"/fc{layer}/Gemm"), f"/fc{layer}/Relu")
    # behind fc3 there is only the classifier
    assert places(net.classified(y)) == ["fc0", "fc1", "fc2"]


@pytest.mark.parametrize("transposed", [False, True])
def test_the_map_is_taken_before_it_is_flattened(transposed: bool) -> None:
    net = Net(2, 8, 8)
    y = net.op(MaxPool(x=net.conv(net.input, 4), kernel=(2, 2), strides=(2, 2)), "/pool/MaxPool")
    if transposed:
        y = net.op(Transpose(x=y, perm=(0, 2, 3, 1)))
    y = net.relu(net.dense(net.op(Flatten(x=y)), 16), "/hidden/Relu")
    assert places(net.classified(net.relu(net.dense(y, 8)))) == ["pool", "hidden"]


def test_captured_values_are_uses() -> None:
    """An If whose branches read the stem: no exit between, and one behind. The If has layers of its own."""
    net = Net(2, 8, 8)
    stem = net.conv(net.input, 4, node="/stem/Conv")
    y = net.conv(net.conv(stem, 4, node="/inside/Conv"), 4)
    y = net.opaque("If", [net.input, y, stem, Weight("inner", np.ones((4, 4, 3, 3), np.float32))], y.type)
    assert places(net.classified(net.conv(y, 4))) == ["If"]


def test_work_in_opaque_ops_counts_as_worth_it() -> None:
    net = Net(2, 8, 8)
    y = net.input
    for layer in range(3):
        weight = Weight(f"q{layer}", np.ones((2, 2, 3, 3), np.float32))
        y = net.opaque(f"QLinearConv{layer}", [y, weight], TensorType(("N", 2, 8, 8)))
    # a normalisation has no work of its own
    y = net.opaque("LRN", [y], y.type)
    assert places(net.classified(y), FindExits()) == ["QLinearConv0", "QLinearConv1"]


def test_only_static_float_tensors_per_sample() -> None:
    net = Net(4)
    y = net.dense(net.input, 8, "/a/Gemm")
    y = net.opaque("Odd", [y], TensorType(("N", "?")))
    y = net.dense(net.opaque("Even", [y], TensorType(("N", 8))), 8, "/b/Gemm")
    half = net.opaque("Half", [net.dense(y, 8)], TensorType(("N", 8), DType.F16))
    y = net.opaque("Whole", [half], TensorType(("N", 8)))
    module = net.classified(net.dense(y, 8, "/c/Gemm"))
    assert places(module) == ["Even", "b", "Whole"]


def chain(layers: int = 6) -> Module:
    net = Net(2, 8, 8)
    y = net.input
    for layer in range(layers):
        y = net.conv(y, 4, node=f"/stage{layer // 2}/stage{layer // 2}.{layer % 2}/Conv")
    return net.classified(y)


def test_places_can_be_named() -> None:
    assert places(chain()) == ["stage0.0", "stage0.1", "stage1.0", "stage1.1", "stage2.0"]
    assert places(chain(), FindExits(places=("stage1.*", "stage0.0"))) == ["stage0.0", "stage1.0", "stage1.1"]
    with pytest.raises(UserError, match=r"no place is called 'stage1.3'") as caught:
        places(chain(), FindExits(places=("stage1.3",)))
    assert caught.value.hint == "did you mean 'stage1.1'?"
    assert "stage2.0" in str(caught.value.allowed)


def test_names_are_unique() -> None:
    net = Net(2, 8, 8)
    y = net.input
    for _ in range(4):
        y = net.conv(y, 4, node="/block/Conv")
    assert places(net.classified(y)) == ["block", "block_1", "block_2"]
    net = Net(4)
    assert places(net.classified(net.dense(net.dense(net.input, 4), 8))) == ["dense"]


def test_little_to_save_and_little_between() -> None:
    # six layers of 2 * 4 * 9 * 64, then 4 * 4 * 9 * 64 MACs each
    assert places(chain(), FindExits(min_saving=0.5, min_gap=0)) == ["stage0.0", "stage0.1", "stage1.0"]
    assert places(chain(), FindExits(min_gap=0.3)) == ["stage0.0", "stage1.0", "stage2.0"]


def test_marks_that_are_there_stay() -> None:
    module = chain()
    conv = module.main.ops[1]
    module.main.rewrite({conv: (conv, Candidate(x=conv.result, place="mine"))}, {})
    p = FindExits()
    assert p.run(module, Context())
    assert list(marks(module)) == ["stage0.0", "mine", "stage1.0", "stage1.1", "stage2.0"]
    assert not p.run(module, Context())


def test_a_baked_batch() -> None:
    net = Net(2, 8, 8, batch=4)
    module = net.classified(net.conv(net.conv(net.input, 4, node="/a/Conv"), 4))
    assert places(module) == ["a"]


def test_no_place_is_refused() -> None:
    net = Net(8)
    with pytest.raises(UserError, match="no place for an exit") as caught:
        FindExits().run(net.classified(net.input), Context())
    assert "min_saving is 0.02" in str(caught.value.hint)


# real networks


def canonical(module: Module) -> Module:
    for p in build_passes([("canonicalise", {})]):
        p.run(module, Context())
    return module


def check(module: Module) -> list[str]:
    """The places; none of them can be gone around."""
    found = places(module, FindExits())
    passed = {link.value for link in chain_of(module.main)}
    assert all(op.x in passed for op in module.main.ops if isinstance(op, Candidate))
    return found


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dscnn_asc40", ["stem.0", "blocks.0.3", "blocks.1.3", "blocks.2.3"]),
        ("kws_ref_dscnn", ["conv_2d_0", "conv_2d_2", "conv_2d_4", "conv_2d_6"]),
        ("ecg_cnn_aami5", [f"blocks.{i}.0" for i in range(5)]),
        ("mlperftiny_resnet8_cifar10", ["conv_2d_0", "add3_act", "add7_act"]),
        ("resnet20_cifar10jpegft", ["conv1", *(f"layer{i // 3 + 1}.{i % 3}" for i in range(8))]),
        ("resnet56_cifar10jpegft", ["conv1", *(f"layer{i // 9 + 1}.{i % 9}" for i in range(26))]),
    ],
)
def test_real_models(name: str, expected: list[str], shared_data: Path) -> None:
    assert check(canonical(read_model(shared_data / "models" / f"{name}.onnx"))) == expected


@pytest.mark.parametrize(
    ("name", "join", "passed"),
    [
        ("resnet50", "add", range(16)),
        ("squeezenet", "concat", range(9)),
        # the stem has two places
        ("inception_v1", "concat", [0, *range(9)]),
        ("inception_v2", "concat", [0, *range(10)]),
    ],
)
def test_light_models_have_a_place_behind_each_block(name: str, join: str, passed: Sequence[int]) -> None:
    """Each place stands behind one more of the ops that end a block."""
    module = canonical(module_from_proto(seeded(f"light_{name}"), name))
    assert len(check(module)) == len(passed)
    before = 0
    found: list[int] = []
    for op in module.main.ops:
        before += op.name == f"nn.{join}"
        if isinstance(op, Candidate):
            found.append(before)
    assert found == list(passed)


def test_densenet_has_places_at_the_concatenations() -> None:
    module = canonical(module_from_proto(seeded("light_densenet121"), "densenet121"))
    check(module)
    kinds = list(marks(module).values())
    assert len(kinds) == 37
    # the stem and three transitions end in pools; a concatenation before a transition is followed by BatchNorm, ReLU
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "max_pool": 1,
        "concat": 30,
        "relu": 3,
        "average_pool": 3,
    }


def test_shufflenet_has_a_place_behind_each_unit() -> None:
    module = canonical(module_from_proto(seeded("light_shufflenet"), "shufflenet"))
    check(module)
    assert list(marks(module).values()) == ["max_pool", *["relu"] * 15]
