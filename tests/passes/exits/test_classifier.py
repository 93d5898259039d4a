import numpy as np
import pytest
from network_builder import Net

from eennc.ir.graph import Module
from eennc.ir.interpreter import run_graph
from eennc.ir.ops.add import Add
from eennc.ir.ops.average_pool import AveragePool
from eennc.ir.ops.clip import Clip
from eennc.ir.ops.flatten import Flatten
from eennc.ir.ops.global_average_pool import GlobalAveragePool
from eennc.ir.ops.mul import Mul
from eennc.ir.ops.reduce_mean import ReduceMean
from eennc.ir.ops.reshape import Reshape
from eennc.ir.ops.softmax import Softmax
from eennc.ir.types import TensorType
from eennc.ir.values import Argument, Weight
from eennc.ir.verifier import verify
from eennc.passes.exits.classifier import find_classifier, prepare_scores
from eennc.support.diagnostics import UserError


def test_logits() -> None:
    net = Net(2, 4, 4)
    module = net.classified(net.conv(net.input, 4), 5)
    found = find_classifier(module.main)
    assert found.op is module.main.ops[-1]
    assert (found.classes, found.probabilities) == (5, False)
    assert prepare_scores(module)
    assert module.attributes == {"classes": 5, "scores": "logits"}
    assert not prepare_scores(module)


def test_probabilities() -> None:
    net = Net(6)
    module = net.module(net.op(Softmax(x=net.dense(net.relu(net.dense(net.input, 4)), 2))))
    assert find_classifier(module.main).op is module.main.ops[-2]
    assert prepare_scores(module)
    assert module.attributes["scores"] == "probabilities"


def squeezenet() -> Module:
    """A convolution as classifier, ReLU, pooling, softmax; the output is [N, classes, 1, 1]."""
    net = Net(2, 6, 6)
    y = net.relu(net.conv(net.conv(net.input, 4), 7, 1))
    return net.module(net.op(Softmax(x=net.op(GlobalAveragePool(x=y)), axis=1)))


def test_a_convolution_as_classifier_and_an_output_of_rank_4() -> None:
    module = squeezenet()
    assert find_classifier(module.main).op is module.main.ops[1]
    assert prepare_scores(module)
    verify(module)
    assert module.main.returns[0].type == TensorType(("N", 7))
    assert module.attributes == {"classes": 7, "scores": "probabilities"}
    assert not prepare_scores(module)
    x = np.random.default_rng(0).normal(size=(3, 2, 6, 6)).astype(np.float32)
    (expected,) = run_graph(module, squeezenet().main, [x])
    (found,) = run_graph(module, module.main, [x])
    np.testing.assert_array_equal(found, expected.reshape(3, 7))


def test_a_long_tail() -> None:
    """Matrix, bias as an op of its own, temperature, mean over steps, reshape."""
    net = Net(5, 8)
    y = net.dense(net.input, 4, "/fc")
    y = net.op(Add(a=y, b=net.weight(4)))
    y = net.op(Mul(a=y, b=Weight("t", np.full(1, 0.5, np.float32))))
    y = net.op(ReduceMean(x=y, axes=(1,)))
    module = net.module(net.op(Reshape(x=y, shape=(-1, 4))))
    assert find_classifier(module.main).op.origin.node == "/fc"


def test_of_two_summed_layers_the_last_is_the_classifier() -> None:
    net = Net(8)
    first, last = net.dense(net.input, 3, "/a"), net.dense(net.input, 3, "/b")
    module = net.module(net.add(last, first))
    assert find_classifier(module.main).op.origin.node == "/b"


def test_the_mean_of_probabilities_is_one() -> None:
    net = Net(2, 4, 4)
    y = net.op(Softmax(x=net.conv(net.input, 3, 1), axis=1))
    assert find_classifier(net.module(net.op(GlobalAveragePool(x=y))).main).probabilities


def test_an_output_like_the_input_may_be_a_classifier() -> None:
    def two() -> Module:
        net = Net(2)
        return net.module(net.dense(net.relu(net.dense(net.input, 8)), 2))

    with pytest.raises(UserError, match="has the shape of the input"):
        prepare_scores(two())
    named = two()
    named.attributes["labels"] = ("inside", "outside")
    assert prepare_scores(named)
    net = Net(2)
    assert prepare_scores(net.module(net.op(Softmax(x=net.dense(net.input, 2)))))


def autoencoder() -> Module:
    net = Net(2, 4, 4)
    return net.module(net.conv(net.relu(net.conv(net.input, 4)), 2))


def one_score() -> Module:
    net = Net(4)
    return net.module(net.dense(net.input, 1))


def no_scores() -> Module:
    net = Net(2, 4, 4)
    return net.module(net.op(Flatten(x=net.op(AveragePool(x=net.input, kernel=(2, 2))))))


def opaque_end() -> Module:
    net = Net(4)
    return net.module(net.opaque("LogSoftmax", [net.dense(net.input, 3)], TensorType(("N", 3))))


def multi_label() -> Module:
    net = Net(4)
    return net.module(net.opaque("Sigmoid", [net.dense(net.input, 3)], TensorType(("N", 3))))


def changed_probabilities() -> Module:
    net = Net(4)
    return net.module(net.op(Clip(x=net.op(Softmax(x=net.dense(net.input, 3))), minimum=0.1), "/Clip"))


def softmax_over_something_else() -> Module:
    net = Net(4, 2)
    y = net.op(Softmax(x=net.dense(net.input, 2), axis=1))
    return net.module(net.op(Flatten(x=y)))


def two_inputs() -> Module:
    module = one_score()
    module.main.arguments.append(Argument("mask", TensorType(("N", 4))))
    return module


def two_outputs() -> Module:
    module = one_score()
    module.main.returns *= 2
    return module


def unknown_shape() -> Module:
    net = Net(4)
    return net.module(net.opaque("Odd", [net.input], TensorType(("N", "?"))))


def mixed_samples() -> Module:
    net = Net(4, batch=6)
    return net.module(net.op(Reshape(x=net.dense(net.input, 4), shape=(3, 8))))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (autoencoder, r"output tensor<Nx2x4x4xf32> \(net.onnx\) is not \[N, classes\]"),
        (one_score, "has 1 score per sample"),
        (no_scores, "comes from the input without one"),
        (opaque_end, r"comes from ONNX LogSoftmax \(net.onnx node '/LogSoftmax'\)"),
        (multi_label, r"comes from ONNX Sigmoid \(net.onnx node '/Sigmoid'\)"),
        (changed_probabilities, "changed by nn.clip .*neither logits nor probabilities of 3 classes"),
        (softmax_over_something_else, "neither logits nor probabilities of 8 classes"),
        (two_inputs, r"2 inputs \('x', 'mask'\)"),
        (two_outputs, "2 outputs"),
        (unknown_shape, "its shape is not known"),
        (mixed_samples, "not one answer per sample"),
    ],
)
def test_what_is_no_classifier_is_refused(make, message: str) -> None:
    module = make()
    with pytest.raises(UserError, match=message) as caught:
        prepare_scores(module)
    assert caught.value.hint
    assert module.attributes == {}
