"""An ONNX file as a torch module: tensors in, tensors out, ONNX Runtime in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidrobust.errors import ConfigError, ModelError

INSTALL = "pip install 'vidrobust[onnx]'"
DTYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}
"""What an input may want, by ONNX Runtime's names."""


class OnnxModule(nn.Module):
    """One input, one output, the batch first.

    A model that was exported with a fixed batch is given that many clips at a time, the last ones
    filled up with copies.

    Args:
        path: The `.onnx` file.
        device: Where it runs; anything but a CPU needs the build of ONNX Runtime for it.
        answer: Name of the output with the scores; empty takes the first.

    Raises:
        ConfigError: If ONNX Runtime is not installed, or cannot use the device.
        ModelError: If the file is missing or no model, or has other inputs or outputs.
    """

    def __init__(self, path: Path, *, device: torch.device, answer: str = "") -> None:
        super().__init__()
        self._session = _open(path, device)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        names = [output.name for output in outputs]
        if len(inputs) != 1 or len(inputs[0].shape) != 5 or inputs[0].type not in DTYPES:
            found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
            raise ModelError(
                f"{path}: expected one input of five axes, float or half, found {found}",
                hint="export a model that takes a batch of clips alone",
            )
        if answer and answer not in names:
            raise ModelError(f"{path}: has no output {answer!r}, only {', '.join(names)}")
        self.shape: list[Any] = inputs[0].shape
        self.classes = outputs[names.index(answer) if answer else 0].shape[-1]
        self._input, self._dtype = inputs[0].name, DTYPES[inputs[0].type]
        self._output = answer or names[0]
        self._batch = self.shape[0] if isinstance(self.shape[0], int) else 0

    def forward(self, clips: Tensor) -> Tensor:
        """The answer `(k, n)` to clips in the layout of the input."""
        parts = clips.split(self._batch) if self._batch else (clips,)
        return torch.cat([self._run(part) for part in parts]).to(clips.device)

    def _run(self, clips: Tensor) -> Tensor:
        missing = self._batch - len(clips) if self._batch else 0
        if missing > 0:
            clips = torch.cat([clips, clips[-1:].expand(missing, *clips.shape[1:])])
        array = clips.to("cpu", self._dtype).contiguous().numpy()
        try:
            answer = self._session.run([self._output], {self._input: array})[0]
        except Exception as error:  # guard: ONNX Runtime's errors have no common base
            raise RuntimeError(f"ONNX Runtime: {error}") from error
        return torch.from_numpy(answer)[: len(clips) - max(missing, 0)]

    def size(self, axis: int) -> int | None:
        """The fixed size of an axis of the input; None where any size will do."""
        size = self.shape[axis]
        return size if isinstance(size, int) else None


def _open(path: Path, device: torch.device) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError("model onnx: ONNX Runtime is not installed", hint=INSTALL) from error
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(device.type)
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise ConfigError(
            f"model.device: this ONNX Runtime cannot use {device}, only {', '.join(available)}",
            hint="use device = 'cpu', or install onnxruntime-gpu",
        )
    if not path.is_file():
        raise ModelError(f"model.path: {path}: there is no such file", hint="check the path")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # its warnings are about its own optimisations
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # guard: ONNX Runtime's errors have no common base
        raise ModelError(
            f"model.path: {path} is no model that ONNX Runtime can run: {error}",
            hint="export it again; a file with external data needs them beside it",
        ) from error
