"""Each rule of the verifier has a test that breaks it; the message shows the op's line."""

import numpy as np
import pytest

from eennc.ir.graph import Graph, Module
from eennc.ir.op import Op, VerifyError
from eennc.ir.ops.call import Call
from eennc.ir.ops.candidate import Candidate
from eennc.ir.ops.dense import Dense
from eennc.ir.ops.exit import Exit
from eennc.ir.ops.fill import Fill
from eennc.ir.ops.relu import Relu
from eennc.ir.types import TensorType
from eennc.ir.values import Argument, Value, Weight
from eennc.ir.verifier import verify


def dense(x: Value, name: str, out: int = 3) -> Op:
    return Dense(x=x, weight=Weight(name, np.ones((out, int(x.type.shape[1])), np.float32)))


class Net:
    """x -> a -> [head0, exit 0] -> b -> [head1, exit 1] -> c -> scores."""

    def __init__(self) -> None:
        self.x = Argument("x", TensorType(("N", 4)))
        self.a = dense(self.x, "a", 4)
        self.head0 = dense(self.a.result, "h0")
        self.exit0 = Exit(scores=self.head0.result, carry=[self.a.result], exit=0)
        self.b = dense(self.exit0.result, "b", 4)
        self.head1 = dense(self.b.result, "h1")
        self.exit1 = Exit(scores=self.head1.result, carry=[self.b.result], exit=1)
        self.c = dense(self.exit1.result, "c")
        ops = [self.a, self.head0, self.exit0, self.b, self.head1, self.exit1, self.c]
        self.main = Graph("main", [self.x], ops, [self.c.result])
        self.module = Module("net", self.main, stage="exits-placed")

    def refused(self) -> str:
        with pytest.raises(VerifyError) as caught:
            verify(self.module)
        return str(caught.value)


def test_a_sound_network():
    verify(Net().module)


def test_work_cannot_move_past_an_exit():
    net = Net()
    net.b.operands[0] = net.a.result  # not through the exit's carry
    assert "this is exit 0 by the data flow, it says 1" in net.refused()
    net = Net()
    net.c.operands[0] = net.exit0.result
    assert "before the last exit" in net.refused()


def test_mixing_values_from_before_and_after_an_exit():
    net = Net()
    mixed = Exit(scores=net.head1.result, carry=[net.a.result, net.b.result], exit=1)
    net.main.ops[5] = mixed
    net.c.operands[0] = mixed.results[1]
    message = net.refused()
    assert "value from before an exit without the exit's carry" in message
    assert "= ee.exit" in message  # the op's line
    assert "^^^" in message


def test_exits_are_numbered_by_the_flow():
    net = Net()
    net.exit1.attrs["exit"] = 2
    assert "this is exit 1 by the data flow, it says 2" in net.refused()


def test_exits_answer_in_the_network_s_type():
    net = Net()
    other = dense(net.a.result, "other", 5)
    net.main.ops[1] = other
    net.exit0.operands[0] = other.result
    assert "type of the network's own" in net.refused()


def test_ops_of_weights_alone_may_stand_anywhere():
    net = Net()
    fill = Fill(shape=(3,), value=1.0)
    net.main.ops.insert(0, fill)
    verify(net.module)


def test_uses_come_after_definitions():
    net = Net()
    net.main.ops.reverse()
    assert "not defined before it" in net.refused()
    net = Net()
    net.a.operands[0] = Argument("stranger", TensorType(("N", 4)))
    assert "argument '%stranger' of another graph" in net.refused()
    net = Net()
    net.main.returns = [Relu(x=net.c.result).result]
    assert "returns a value that it does not define" in net.refused()


def test_types_follow_from_the_operands():
    net = Net()
    net.a.results[0].type = TensorType(("N", 5))
    assert "its operands imply tensor<Nx4xf32>" in net.refused()


def test_two_weights_of_one_name():
    net = Net()
    net.c.operands[1] = Weight("a", np.ones((3, 4), np.float32))
    assert "two weights are called '@a'" in net.refused()


def test_one_definition_of_each_value():
    net = Net()
    net.main.ops.insert(1, net.a)
    assert "defined twice" in net.refused()


def test_attributes_changed_in_place_are_checked():
    net = Net()
    net.exit0.attrs["temperature"] = -1.0
    assert "temperature" in net.refused()


def test_every_exit_has_a_threshold_for_every_operating_point():
    net = Net()
    net.module.attributes["points"] = ("saver",)
    assert "the exit has 0 thresholds in 'points', the module 1 such points" in net.refused()


def test_exits_answer_in_the_network_s_kind():
    net = Net()
    net.module.attributes["scores"] = "probabilities"
    assert "the exit gives logits, the network probabilities" in net.refused()


def test_two_exits_side_by_side():
    net = Net()
    net.main.ops.insert(3, Exit(scores=net.head0.result, carry=[net.a.result], exit=0))
    assert "two exits stand side by side behind the input" in net.refused()


def test_a_graph_returns_something():
    net = Net()
    net.main.returns = []
    assert "returns nothing" in net.refused()


def test_stages():
    net = Net()
    net.module.stage = "imported"
    assert "stage 'imported' does not allow ee.exit" in net.refused()
    net = Net()
    net.main.ops.append(Candidate(x=net.c.result, place="late"))
    assert "does not allow ee.candidate" in net.refused()
    net.module.stage = "baked"
    assert "no known stage: 'baked'" in net.refused()
    net = Net()
    net.module.graphs["segment0"] = net.main.copy(name="segment0")
    assert "allows no graph but main" in net.refused()


def test_calls_fit_their_callee():
    x = Argument("x", TensorType(("N", 4)))
    inner = Argument("y", TensorType(("N", 4)))
    relu = Relu(x=inner)
    callee = Graph("segment0", [inner], [relu], [relu.result])
    call = Call(args=[x], callee="segment0", types=[TensorType(("N", 4))])
    module = Module("net", Graph("main", [x], [call], [call.result]), stage="segmented", graphs=[callee])
    verify(module)
    call.results[0].type = TensorType(("N", 5))
    with pytest.raises(VerifyError, match="does not fit"):
        verify(module)
    call.attrs["callee"] = "segment7"
    with pytest.raises(VerifyError, match="no graph '@segment7'"):
        verify(module)
