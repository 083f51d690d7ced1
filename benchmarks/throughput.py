"""What the door of each adapter costs: its clips per second over those of the bare model.

    python benchmarks/throughput.py [--rounds 9] [--clips 4] [--only torch onnx]

Each round sends one batch through the adapter and, next to it, what the adapter would feed to the
bare model, in changing order; the ratio is taken within the round. 1.0 is an adapter that costs
nothing; the target is 0.95. The bare model gets a fresh copy of its input, as every batch of a loop
is a new tensor: memory that comes and goes costs page faults, for any caller. `ratio_reused_input`
is the ratio to a bare model that gets the very same tensor each time. Seconds are CPU seconds of
the process, so that others on the machine do not count; run it with OMP_NUM_THREADS=1. Weights are
random: they cost the same.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from harness import summary, write
from torch import Tensor

from vidrobust.protocols import Classifier

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@dataclass(frozen=True)
class Case:
    """An adapter, and the model behind it.

    Args:
        model: What the network is.
        adapter: The threat model.
        feed: What the adapter would feed to the bare model for clips `(k, t, c, h, w)`.
        bare: The network alone, on what `feed` gave.
    """

    model: str
    adapter: Classifier
    feed: Callable[[Tensor], Tensor]
    bare: Callable[[Tensor], object]


def torch_case(folder: Path) -> Case:
    """The 3D ResNet-18 of 3D-ResNets-PyTorch: other layout, other range, mean subtracted."""
    from vidrobust_torch.known import resnet_18
    from vidrobust_torch.resnet3d import resnet18

    torch.save(resnet18(400, "A").state_dict(), folder / "resnet-18.pt")
    adapter = resnet_18(str(folder / "resnet-18.pt"), device="cpu")
    return Case("3D ResNet-18, 16 x 112 x 112", adapter, adapter.prepare, adapter.module)


def mmaction2_case(folder: Path) -> Case:
    """TSN on MobileNetV2, the cheapest network of MMAction2, so that its door weighs most."""
    from mmaction.structures import ActionDataSample
    from vidrobust_mmaction2.model import mmaction2

    config = EXAMPLES / "mmaction2" / "tsn_mobilenetv2_ucf6.py"
    adapter = mmaction2(str(config), "random", device="cpu")
    door = adapter.module

    def feed(clips: Tensor) -> Tensor:
        data = {"inputs": list(door.views(clips).mul(255)), "data_samples": None}
        return door.recogniser.data_preprocessor(data)["inputs"]

    def bare(inputs: Tensor) -> object:
        samples = [ActionDataSample() for _ in inputs]
        return door.recogniser(inputs, samples, mode="predict")

    return Case("TSN on MobileNetV2, 8 x 128 x 128", adapter, feed, bare)


def onnx_case(folder: Path) -> Case:
    """The 3D ResNet-18 as an ONNX file; the bare model is its session."""
    import onnxruntime
    from vidrobust_onnx.model import onnx_model
    from vidrobust_torch.resnet3d import resnet18

    path = str(folder / "resnet-18.onnx")
    example, axes = torch.rand(1, 3, 16, 112, 112), {"clips": {0: "n"}}
    warnings.simplefilter("ignore")  # the exporter that needs no further package is the old one
    torch.onnx.export(
        resnet18(400, "A").eval(),
        (example,),
        path,
        dynamo=False,
        input_names=["clips"],
        dynamic_axes=axes,
    )
    adapter = onnx_model(path, layout="ncthw", range="0-255", mean=[114.8, 107.7, 99.5])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Case(
        "3D ResNet-18, 16 x 112 x 112, ONNX Runtime",
        adapter,
        adapter.prepare,
        lambda inputs: session.run(None, {"clips": inputs.numpy()}),
    )


CASES: dict[str, Callable[[Path], Case]] = {
    "torch": torch_case,
    "mmaction2": mmaction2_case,
    "onnx": onnx_case,
}
"""One function per adapter; it may leave files in the folder it is given."""


def measure(case: Case, clips: Tensor, rounds: int) -> dict[str, object]:
    """Ratio and clips per CPU second, over some rounds; the first, not counted, warms up."""
    fed = case.feed(clips)
    calls: dict[str, Callable[[], object]] = {
        "adapter": lambda: case.adapter(clips),
        "bare": lambda: case.bare(fed.clone()),
        "reused": lambda: case.bare(fed),
    }
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(rounds + 1):
        names = list(calls) if index % 2 else list(calls)[::-1]
        for name in names:
            with torch.inference_mode():
                begin = time.process_time()
                calls[name]()
                spent[name].append(time.process_time() - begin)
    adapter, bare, reused = (spent[name][1:] for name in calls)
    return {
        "model": case.model,
        "ratio": summary([b / a for a, b in zip(adapter, bare, strict=True)]),
        "ratio_reused_input": summary([r / a for a, r in zip(adapter, reused, strict=True)]),
        "adapter_clips_per_second": summary([len(clips) / seconds for seconds in adapter]),
        "bare_clips_per_second": summary([len(clips) / seconds for seconds in bare]),
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clips", type=int, default=4, help="clips in the batch")
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    options = parser.parse_args()
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            case = CASES[name](Path(folder))
            generator = torch.Generator().manual_seed(0)
            clips = torch.rand(options.clips, *case.adapter.spec.shape, generator=generator)
            found[name] = measure(case, clips, options.rounds)
    write("throughput", {"batch": options.clips, "rounds": options.rounds, **found})


if __name__ == "__main__":
    main()
