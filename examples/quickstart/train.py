"""How the quickstart's model and data were made. Needs Debian's dataset-fashion-mnist, and onnxscript for the export.

    python train.py            # trains (some 15 minutes on two cores) and writes the files beside it

A small residual network (about 120,000 weights) learns from the first 55,000 training images. The last 5,000, which it
never sees, give the heads' training and the calibration data; the test data are the first 1,500 of the test set.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  (torch's own convention)

HERE = Path(__file__).resolve().parent
MEAN, STD = 72.94, 90.02  # of the training images, in grey levels


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, inputs, h, w] -> [n, outputs, h / stride, w / stride]."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Network(nn.Module):
    """Three stages of two blocks on 1x28x28 images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.stage1 = nn.Sequential(Block(16, 16, 1), Block(16, 16, 1))
        self.stage2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1))
        self.stage3 = nn.Sequential(Block(32, 48, 2), Block(48, 48, 1))
        self.linear = nn.Linear(48, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, 1, 28, 28] -> logits [n, 10]."""
        x = F.relu(self.norm(self.stem(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.linear(x.mean((2, 3)))


def read(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, 1, 28, 28] and labels int64 [n]."""
    images = gzip.decompress((folder / f"{name}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((folder / f"{name}-labels-idx1-ubyte.gz").read_bytes())[8:]
    return np.frombuffer(images, np.uint8).reshape(-1, 1, 28, 28), np.frombuffer(labels, np.uint8).astype(np.int64)


def train(x: torch.Tensor, y: torch.Tensor, epochs: int) -> Network:
    """SGD with one cycle, random shifts and flips; `x` float [n, 1, 28, 28], normalised."""
    torch.manual_seed(0)
    net = Network().to(x.device)
    batch = 256
    steps = epochs * (len(x) // batch)
    optimiser = torch.optim.SGD(net.parameters(), 0.2, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.2, total_steps=steps)
    for epoch in range(epochs):
        order = torch.randperm(len(x), device=x.device)
        for start in range(0, len(x) - batch + 1, batch):
            rows = order[start : start + batch]
            image = F.pad(x[rows], (2, 2, 2, 2), value=float(-MEAN / STD))
            top, left = torch.randint(0, 5, (2,)).tolist()
            image = image[:, :, top : top + 28, left : left + 28]
            image = torch.where(torch.rand(batch, 1, 1, 1, device=x.device) < 0.5, image.flip(3), image)
            loss = F.cross_entropy(net(image), y[rows], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f"epoch {epoch + 1}/{epochs}, loss of the last batch {loss.item():.3f}", flush=True)
    return net.eval()


def main() -> None:
    """Train, export, and write the data sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--weights", type=Path, default=HERE / "weights.pt", help="kept between training and export")
    parser.add_argument("--no-export", action="store_true", help="train only, where onnxscript is missing")
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, labels = read(given.data, "train")
    test_images, test_labels = read(given.data, "t10k")

    def normalised(part: np.ndarray) -> torch.Tensor:
        return (torch.from_numpy(part.astype(np.float32)) - MEAN) / STD

    net = Network()
    if given.weights.exists():
        net.load_state_dict(torch.load(given.weights, map_location="cpu", weights_only=True))
        net.eval()
    else:
        x, y = normalised(images[:55000]).to(device), torch.from_numpy(labels[:55000]).to(device)
        net = train(x, y, given.epochs).cpu()
        torch.save(net.state_dict(), given.weights)
    with torch.no_grad():
        guesses = torch.cat([net(normalised(part)).argmax(1) for part in np.array_split(test_images, 20)])
    print(f"test accuracy {(guesses.numpy() == test_labels).mean():.4f}")
    if given.no_export:
        return

    for name, x, y in (
        ("train", images[55000:58600], labels[55000:58600]),
        ("calibration", images[58600:59600], labels[58600:59600]),
        ("test", test_images[:1500], test_labels[:1500]),
    ):
        np.savez_compressed(HERE / f"{name}.npz", x=x, y=y.astype(np.uint8))
    example = (normalised(test_images[:2]),)
    names = {"input_names": ["image"], "output_names": ["logits"]}
    batch = {"x": {0: torch.export.Dim("N")}}
    program = torch.onnx.export(net, example, dynamo=True, opset_version=20, dynamic_shapes=batch, **names)
    model = program.model_proto
    graph = model.graph
    for thing in (model, graph, *graph.input, *graph.output, *graph.node, *graph.value_info):
        # of the exporter's notes only the modules' names tell a reader anything
        kept = [(note.key, note.value) for note in thing.metadata_props if note.key == "pkg.torch.onnx.name_scopes"]
        del thing.metadata_props[:]
        for key, value in kept:
            thing.metadata_props.add(key=key, value=value)
    (HERE / "fashion.onnx").write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
