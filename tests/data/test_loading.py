"""Sources of data, and the checks on what they give: one clear message each."""

import os

import numpy as np
import pytest

from eennc.data.loading import check_split, load_split, split_of, warn_of_shared_samples
from eennc.data.splits import Split, Splits
from eennc.ir.types import DType, TensorType
from eennc.support.diagnostics import Place, UserError
from eennc.support.instruments import Silent

X = np.random.default_rng(0).normal(size=(6, 2, 3)).astype(np.float32)
Y = np.array([0, 1, 2, 0, 1, 2], np.uint8)
TYPE = TensorType(("N", 2, 3))


def failure(folder, spec, **files) -> str:
    for name, content in files.items():
        (folder / f"{name}.py").write_text(content)
    with pytest.raises(UserError) as error:
        load_split("train", spec, folder, Place("passes.yaml", 2, 3))
    # the user sees where, whatever went wrong
    assert error.value.place is not None
    return error.value.render()


class TestNpz:
    def test_all_arrays(self, tmp_path):
        groups = np.array(["b", "a", "b", "a", "c", "c"])
        np.savez(tmp_path / "a.npz", x=X, y=Y, groups=groups, weights=np.arange(6))
        split = load_split("train", "a.npz", tmp_path)
        assert (split.name, split.x.dtype, split.labels.dtype) == ("train", np.float32, np.int64)
        np.testing.assert_array_equal(split.x, X)
        assert split.groups is not None
        assert split.groups.tolist() == [1, 0, 1, 0, 2, 2]
        assert split.weights is not None
        assert split.weights.tolist() == [0, 1, 2, 3, 4, 5]

    def test_labels_are_optional(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=X)
        assert load_split("train", "a.npz", tmp_path).y is None

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"X": X, "y": Y}, "'a.npz' has an unknown array 'X'"),
            ({"x": X, "lables": Y}, "'a.npz' has an unknown array 'lables'"),
            ({"y": Y}, "'a.npz' has no array 'x'"),
            ({"x": X, "y": Y[:4]}, "'x' has 6 samples and 'y' 4"),
            ({"x": X, "y": np.float64(3)}, "'y' is a single number"),
            ({"x": X[:0], "y": Y[:0]}, "train data: it is empty"),
            ({"x": X[:, 0, 0], "y": Y}, "'x' has shape [6]"),
            ({"x": X, "y": Y.astype(float)}, "'y' is float64: labels must be class numbers of an integer dtype"),
            ({"x": X, "y": np.eye(3)[Y]}, "'y' has shape [6, 3], not [n]"),
            ({"x": X, "y": np.array(list("abcabc"))}, "'y' is <U1: labels must be class numbers"),
            ({"x": X, "y": np.full(6, 2**63, np.uint64)}, "9223372036854775808, which is no class number"),
            ({"x": X, "groups": np.ones(6)}, "'groups' is float64 [6]"),
            ({"x": X, "weights": -np.ones(6)}, "'weights' must be finite, at least 0, and not all 0"),
            ({"x": X, "weights": np.array([1, np.nan, 1, 1, 1, 1])}, "'weights' must be finite"),
            ({"x": X.astype(complex)}, "'x' holds complex128, not numbers"),
            ({"x": np.array([{}, {}], object)}, "holds Python objects"),
        ],
    )
    def test_bad_arrays(self, tmp_path, arrays, message):
        np.savez(tmp_path / "a.npz", **arrays)
        assert message in failure(tmp_path, "a.npz")

    def test_did_you_mean(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=X, group=Y)
        assert "hint: did you mean 'groups'?" in failure(tmp_path, "a.npz")

    def test_bad_files(self, tmp_path):
        assert "no such file: 'a.npz'" in failure(tmp_path, "a.npz")
        (tmp_path / "a.npz").mkdir()
        assert "'a.npz' is a folder" in failure(tmp_path, "a.npz")
        np.save(tmp_path / "b.npy", X)
        os.rename(tmp_path / "b.npy", tmp_path / "b.npz")
        assert "it is not a .npz file" in failure(tmp_path, "b.npz")
        np.savez(tmp_path / "c.npz", x=X, y=Y)
        whole = (tmp_path / "c.npz").read_bytes()
        (tmp_path / "d.npz").write_bytes(whole[: len(whole) // 2])
        assert "hint: is the file complete?" in failure(tmp_path, "d.npz")
        damaged = bytearray(whole)
        damaged[150:180] = bytes(30)
        (tmp_path / "e.npz").write_bytes(damaged)
        assert "'e.npz' cannot be read" in failure(tmp_path, "e.npz")


class TestNpy:
    def test_files_stay_on_disk(self, tmp_path):
        np.save(tmp_path / "a.npy", X)
        np.save(tmp_path / "b.npy", Y)
        split = load_split("train", {"x": "a.npy", "y": "b.npy"}, tmp_path)
        assert isinstance(split.x, np.memmap)
        np.testing.assert_array_equal(split.x, X)
        assert split.labels.tolist() == Y.tolist()

    def test_what_is_wrong(self, tmp_path):
        np.save(tmp_path / "a.npy", X)
        np.save(tmp_path / "o.npy", np.array([{}], object))
        (tmp_path / "t.npy").write_bytes(b"\x93NUMPY")
        (tmp_path / "n.npy").write_bytes(b"nothing")
        assert "has no array 'x'" in failure(tmp_path, {"y": "a.npy"})
        assert "unknown array 'z'" in failure(tmp_path, {"x": "a.npy", "z": "a.npy"})
        assert "array 'y' must be a file .npy" in failure(tmp_path, {"x": "a.npy", "y": "a.txt"})
        assert "no such file: 'b.npy'" in failure(tmp_path, {"x": "b.npy"})
        assert "holds Python objects" in failure(tmp_path, {"x": "o.npy"})
        assert "'t.npy' cannot be read" in failure(tmp_path, {"x": "t.npy"})
        assert "it is not a .npy file" in failure(tmp_path, {"x": "n.npy"})


class TestFunction:
    @pytest.mark.parametrize("returned", ["x, y", "{'x': x, 'y': y}", "Split('other', x, y)"])
    def test_what_it_may_return(self, tmp_path, returned):
        (tmp_path / "beside.py").write_text("scale = 2.0\n")
        (tmp_path / "data.py").write_text(
            "import numpy as np\nfrom beside import scale\nfrom eennc.data.splits import Split\n"
            "x, y = np.full((4, 2), scale), np.arange(4)\n"
            f"def train():\n    return {returned}\n"
        )
        split = load_split("train", "data:train", tmp_path)
        assert (split.name, split.x.shape, split.labels.tolist()) == ("train", (4, 2), [0, 1, 2, 3])

    def test_two_folders_have_a_data_py_each(self, tmp_path):
        for name, size in (("a", 2), ("b", 3)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "data.py").write_text(
                f"import numpy as np\ndef f(): return np.ones((4, {size})), None\n"
            )
        sizes = [load_split("train", "data:f", tmp_path / name).x.shape[1] for name in "ab"]
        assert sizes == [2, 3]

    def test_an_installed_module(self, tmp_path, monkeypatch):
        (tmp_path / "installed").mkdir()
        (tmp_path / "installed" / "some_eennc_data.py").write_text(
            "import numpy\ndef f(): return numpy.ones((2, 2)), None\n"
        )
        monkeypatch.syspath_prepend(tmp_path / "installed")
        assert len(load_split("train", "some_eennc_data:f", tmp_path)) == 2

    def test_what_is_wrong(self, tmp_path):
        assert "no module 'nowhere_at_all'" in failure(tmp_path, "nowhere_at_all:f")
        text = failure(tmp_path, "one:tran", one="def train(): pass\n")
        assert "'one' has no function 'tran'" in text
        assert "did you mean 'train'?" in text
        assert "'two:f' returns int" in failure(tmp_path, "two:f", two="def f(): return 3\n")
        assert "unknown array 'z'" in failure(tmp_path, "three:f", three="def f(): return {'x': [[1]], 'z': 1}\n")
        text = failure(tmp_path, "four:f", four="def f():\n    return {}['gone']\n")
        assert "four.py:2: error: 'four:f' fails: KeyError: 'gone'" in text
        assert "return {}['gone']" in text
        assert "five.py:1" in failure(tmp_path, "five:f", five="def f(:\n")
        assert "'x' is no array" in failure(tmp_path, "seven:f", seven="def f(): return [[1], [1, 2]], None\n")


def test_a_spec_of_no_kind(tmp_path):
    text = failure(tmp_path, "train.csv")
    assert "'train.csv' is no source of data" in text
    assert "module:function" in text


@pytest.mark.parametrize(
    ("split", "type", "classes", "message"),
    [
        (Split("test", X[:, :, :2]), TYPE, None, "test data: 'x' has shape [6, 2, 2], the model takes ['n', 2, 3]"),
        (Split("test", X[:, 0]), TYPE, None, "'x' has shape [6, 3]"),
        (Split("test", X.astype(np.float64)), TYPE, None, "'x' is float64, the model takes float32"),
        (Split("test", X), TensorType(("N", 2, 3), DType.U8), None, "'x' is float32, the model takes uint8"),
        (Split("test", X, Y.astype(np.int64)), TYPE, 2, "sample 2 has label 2, the model has 2 classes"),
        (Split("test", X, Y.astype(np.int64) - 1), TYPE, 3, "sample 0 has label -1, the model has 3 classes"),
        (Split("test", np.where(X[3, 1, 1] == X, np.nan, X)), TYPE, 3, "sample 3 holds NaN or infinity"),
        (Split("test", np.where(X[5, 0, 0] == X, np.inf, X)), TYPE, 3, "sample 5 holds NaN or infinity"),
    ],
)
def test_what_does_not_fit_the_model(split, type, classes, message):
    with pytest.raises(UserError) as error:
        check_split(split, type, classes)
    assert message in error.value.message


def test_hints_at_layouts():
    images = np.zeros((2, 8, 6, 3), np.float32)
    with pytest.raises(UserError, match="say `layout: nhwc`"):
        check_split(Split("test", images), TensorType(("N", 3, 8, 6)), None)
    with pytest.raises(UserError, match="say `layout: nhw`"):
        check_split(Split("test", images[..., 0]), TensorType(("N", 1, 8, 6)), None)


def test_what_fits():
    check_split(Split("test", X, Y.astype(np.int64)), TYPE, 3)
    check_split(Split("test", X, Y.astype(np.int64)), TensorType((1, 2, 3)), None)


def test_not_finite_is_found_in_any_chunk(monkeypatch):
    monkeypatch.setattr("eennc.data.loading._CHUNK", 12)
    x = X.copy()
    x[4, 1, 2] = np.inf
    with pytest.raises(UserError, match="sample 4"):
        check_split(Split("test", x), TYPE, None)


def test_samples_in_two_splits_are_warned_of():
    class Warnings(Silent):
        def __init__(self):
            self.found = []

        def warn(self, text):
            self.found.append(text)

    heard = Warnings()
    train, calibration, test = (
        split_of(n, {"x": x}) for n, x in (("train", X[:4]), ("calibration", X[4:]), ("test", X[2:]))
    )
    warn_of_shared_samples(Splits(train, calibration, test), heard)
    assert [text.partition(":")[0] for text in heard.found] == [
        "2 of 4 samples of the test split are in the train split too",
        "2 of 4 samples of the test split are in the calibration split too",
    ]
