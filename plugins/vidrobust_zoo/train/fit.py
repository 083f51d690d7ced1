"""The training loop: AdamW, one cycle of the learning rate, averaged weights, resumable."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vidrobust_zoo.train.batches import Batch, DataSet


@dataclass(frozen=True)
class Settings:
    """How to train.

    Args:
        epochs: Passes over the training clips.
        rate: Largest learning rate.
        seed: Of weights, dropout, order and augmentation.
        batch: Clips per step.
        hint_weight: Weight of the teacher's loss.
        smoothing: Label smoothing.
        decay: Weight decay.
    """

    epochs: int
    rate: float
    seed: int
    batch: int = 16
    hint_weight: float = 1.0
    smoothing: float = 0.1
    decay: float = 0.05


class Trainer:
    """Trains one network.

    Args:
        network: What to train.
        data: What to train it on.
        settings: How to train it.
        state: File that keeps the state after every epoch, to go on from.
        report: Is given lines about the progress.
    """

    def __init__(
        self,
        network: nn.Module,
        data: DataSet,
        settings: Settings,
        state: Path,
        *,
        report: Callable[[str], None],
    ) -> None:
        self.network, self.data, self.settings, self.state = network, data, settings, state
        self.report = report
        self.hinter = nn.LazyLinear(data.hint_size) if data.hint_size else nn.Identity()
        self.average = AveragedModel(
            network, multi_avg_fn=get_ema_multi_avg_fn(0.98), use_buffers=True
        )
        self.optimiser: torch.optim.Optimizer | None = None

    def run(self) -> nn.Module:
        """Train to the end and give the averaged network in eval mode."""
        first = self._prepare()
        for epoch in range(first, self.settings.epochs):
            torch.manual_seed(self.settings.seed * 1000 + epoch)
            loss = self._epoch(epoch)
            self._save(epoch + 1)
            self.report(f"epoch {epoch + 1}/{self.settings.epochs}: loss {loss:.3f}")
        return self.average.module.eval()

    def _prepare(self) -> int:
        """Build the optimiser, load the kept state if there is one; give the epoch to start at."""
        if self.data.hint_size:
            batch = next(self.data.batches(self.settings.batch, epoch=0))
            with torch.no_grad():
                self.hinter(self.network.eval().embed(batch.clips))
        every = [*self.network.parameters(), *self.hinter.parameters()]
        parameters = [weight for weight in every if weight.requires_grad]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": [p for p in parameters if p.ndim > 1]},
                {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=self.settings.rate,
            weight_decay=self.settings.decay,
        )
        if not self.state.exists():
            return 0
        kept = torch.load(self.state)
        for name, part in self._parts().items():
            part.load_state_dict(kept[name])
        return kept["epoch"]

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        assert self.optimiser is not None
        return {
            "network": self.network,
            "hinter": self.hinter,
            "average": self.average,
            "optimiser": self.optimiser,
        }

    def _save(self, epoch: int) -> None:
        """Keep the state after `epoch` epochs."""
        states = {name: part.state_dict() for name, part in self._parts().items()}
        torch.save({"epoch": epoch, **states}, self.state)

    def _epoch(self, epoch: int) -> float:
        """Train one epoch; give its mean loss."""
        assert self.optimiser is not None
        self.network.train()
        losses = []
        steps = self.data.size // self.settings.batch
        for step, batch in enumerate(self.data.batches(self.settings.batch, epoch=epoch)):
            rate = _cycle((epoch + step / steps) / self.settings.epochs) * self.settings.rate
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            loss = self._loss(batch)
            self.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimiser.step()
            self.average.update_parameters(self.network)
            losses.append(loss.item())
            if step % 25 == 24:
                self.report(
                    f"epoch {epoch + 1}, step {step + 1} of {steps}: {_mean(losses[-25:]):.3f}"
                )
        return _mean(losses)

    def _loss(self, batch: Batch) -> Tensor:
        """Cross-entropy, and the distance of the hinted features to the teacher's."""
        with torch.autocast("cpu", torch.bfloat16):
            features = self.network.embed(batch.clips)
        features = features.float()
        logits = self.network.head(self.network.dropout(features))
        loss = functional.cross_entropy(
            logits, batch.targets, label_smoothing=self.settings.smoothing
        )
        if batch.hints is None:
            return loss
        distance = functional.mse_loss(self.hinter(features), batch.hints)
        return loss + self.settings.hint_weight * distance


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _cycle(progress: float) -> float:
    """Give the learning rate as a part of its largest: up for a tenth, then down as a cosine."""
    if progress < 0.1:
        return 0.05 + 0.95 * progress / 0.1
    return 0.5 * (1 + torch.cos(torch.tensor(torch.pi * (progress - 0.1) / 0.9)).item()) + 1e-3


def accuracy(network: nn.Module, data: DataSet, part: str) -> tuple[int, int]:
    """Give how many clips of a part are classified correctly, and how many there are."""
    right = total = 0
    with torch.inference_mode():
        for clips, labels in data.examples(part):
            right += int((network(clips).argmax(dim=1) == labels).sum())
            total += len(labels)
    return right, total
