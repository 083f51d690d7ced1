"""Threat models as ART estimators.

ART checks the classes an estimator inherits from, literally, and its metaclass cannot be mixed with
a protocol's; so an estimator holds a threat model and is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from art.estimators.classification.classifier import ClassifierMixin
from art.estimators.estimator import BaseEstimator, NeuralNetworkMixin
from numpy.typing import NDArray
from torch import Tensor

from vidrobust.art.keeper import Keeper
from vidrobust.art.views import Array, ClipShape, View, from_clips, to_clips, viewed_shape
from vidrobust.engine.journal import Entry, Fingerprint, Journal
from vidrobust.errors import ConfigError, ContractError, ModelError, VidrobustError
from vidrobust.protocols import Classifier, Constraint
from vidrobust.threat import Linf, Oracle
from vidrobust.types import Access, Response

ROWS = 16
"""Most clips asked at once: what a budget ends between, and what a journal writes on a line."""


class BudgetExhausted(VidrobustError):
    """The budget of a `VideoClassifier` is spent, in the middle of an ART attack.

    What the attack has found is in the classifier: `best` and `success`.
    """


class ClipEstimator(NeuralNetworkMixin, ClassifierMixin, BaseEstimator):
    """An ART classifier whose `predict` asks somebody, and nothing more.

    It satisfies the requirements of every black-box attack of ART. Arrays of float64, values
    outside `[0, 1]` and batches of any size are welcome; `x` is never written to.

    Args:
        ask: Answers clips `(k, t, c, h, w)` float32 in `[0, 1]`, at most `ROWS` at once.
        shape: Of one clip, `(t, c, h, w)`.
        classes: Their number, at least two.
        view: The layout of the arrays.
        model: What ART shows as `model`.
    """

    estimator_params = (
        BaseEstimator.estimator_params
        + NeuralNetworkMixin.estimator_params
        + ClassifierMixin.estimator_params
    )

    def __init__(
        self,
        ask: Callable[[Tensor], Response],
        shape: ClipShape,
        classes: int,
        view: View = "ncfhw",
        *,
        model: object = None,
    ) -> None:
        super().__init__(
            model=model, clip_values=(0.0, 1.0), preprocessing=None, channels_first=view != "nfhwc"
        )
        self.nb_classes = classes
        self.view = view
        self.clip_shape = shape
        self._ask = ask

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one clip, in the view."""
        return viewed_shape(self.clip_shape, self.view)

    def predict(self, x: Array, batch_size: int = 128, **_kwargs: object) -> NDArray[np.float32]:
        """Probabilities `(n, nb_classes)` float32; hidden classes share what the others leave.

        Args:
            x: Clips `(n, *input_shape)`.
            batch_size: Ignored: whoever is asked decides on batches.

        Raises:
            ModelError: If the clips have another shape, or hold NaN.
        """
        if x.shape[1:] != self.input_shape:
            raise ModelError(
                f"expected an array of clips {('n', *self.input_shape)} in the view "
                f"{self.view!r}, got {x.shape}",
                hint="the views are ncfhw (n, c, t, h, w), nfhwc (n, t, h, w, c) and fold",
            )
        rows = [np.zeros((0, self.nb_classes), dtype=np.float32)]
        for start in range(0, len(x), ROWS):
            clips = to_clips(x[start : start + ROWS], self.view, self.clip_shape)
            if bool(clips.isnan().any()):
                raise ModelError("the attack asked a clip that holds NaN")
            rows.append(_probabilities(self._ask(clips), self.nb_classes))
        return np.concatenate(rows)

    def fit(self, x: Array, y: Array, **_kwargs: object) -> None:
        """Not possible.

        Raises:
            NotImplementedError: Always: a threat model answers, it does not learn.
        """
        raise NotImplementedError("a threat model cannot be trained; train the model behind it")

    def get_activations(self, *_args: object, **_kwargs: object) -> Array:
        """Not possible.

        Raises:
            NotImplementedError: Always: a threat model shows its answers alone.
        """
        raise NotImplementedError("a threat model shows no activations")


class VideoClassifier(ClipEstimator):
    """A threat model as an ART classifier: counted, limited, journalled.

    Args:
        model: The victim.
        view: The layout of the arrays, see `vidrobust.art.views`.
        max_queries: Clips it answers before it raises `BudgetExhausted`; None sets no limit.
        access: What answers show: `scores`, `top-k`, `top-1` or `label`.
        top_k: How many scores `top-k` shows.
        constraint: What `best` has to satisfy, and measures closeness; every clip by default, by
            its largest change.
        max_batch: Clips per forward pass.
        journal: File that every answer is written to before it is used. What it already holds is
            not asked again, as long as the same questions come in the same order.

    Attributes:
        queries: Clips asked since the beginning, or since `reset`.
    """

    def __init__(
        self,
        model: Classifier,
        view: View = "ncfhw",
        *,
        max_queries: int | None = None,
        access: Access | str = Access.SCORES,
        top_k: int = 5,
        constraint: Constraint | None = None,
        max_batch: int = ROWS,
        journal: Path | str | None = None,
    ) -> None:
        if max_queries is not None and max_queries < 1:
            raise ConfigError(f"max_queries: expected at least 1, got {max_queries}")
        spec = model.spec
        super().__init__(self._answer, spec.shape, len(spec.classes), view, model=model)
        self.max_queries = max_queries
        self.queries = 0
        self._oracle = Oracle(model, access=Access(access), top_k=top_k, max_batch=max_batch)
        self._keeper = Keeper(constraint or Linf(1.0))
        self._journal = None if journal is None else Journal(Path(journal))
        self._replay: Iterator[Entry] = iter(())
        if self._journal is not None:
            self._replay = self._journal.replay(torch.device("cpu"))

    @property
    def clips_seen(self) -> int:
        """Clips that reached the model; what a journal answered is not among them."""
        return self._oracle.clips_seen

    @property
    def best(self) -> NDArray[np.float32]:
        """`(n, *input_shape)`: of each clip attacked the closest adversarial one seen so far, or
        the clean one where there is none.
        """
        return from_clips(self._keeper.best, self.view)

    @property
    def success(self) -> NDArray[np.bool_]:
        """`(n,)`: for which clips there is an adversarial one in `best`."""
        return self._keeper.success

    def watch(self, x: Array, y: Array | None = None, *, targeted: bool = False) -> None:
        """Say which clips are going to be attacked, so that `best` knows them.

        Without it, the first clips asked are taken to be the clean ones, and every other answer
        than theirs to be a success. Every ART attack asks the clean clips first.

        Args:
            x: Clean clips `(n, *input_shape)`.
            y: Their classes, or the target classes: indices `(n,)`, or one-hot `(n, nb_classes)`.
                None takes the model's answers, the first time they are asked.
            targeted: Whether `y` holds targets.
        """
        from art.utils import check_and_transform_label_format

        if targeted and y is None:
            raise ConfigError("watch: a targeted attack needs the targets y")
        labels = None
        if y is not None:
            wanted = check_and_transform_label_format(y, self.nb_classes, return_one_hot=False)
            labels = torch.from_numpy(np.asarray(wanted, dtype=np.int64).reshape(-1))
        self._keeper.start(to_clips(x, self.view, self.clip_shape), labels, targeted=targeted)

    def reset(self) -> None:
        """Begin anew: nothing asked, nothing found."""
        self.queries = 0
        self._keeper.forget()

    def close(self) -> None:
        """Close the journal; a later question opens it again."""
        if self._journal is not None:
            self._journal.close()

    def _answer(self, clips: Tensor) -> Response:
        if self.max_queries is not None and self.queries + len(clips) > self.max_queries:
            raise BudgetExhausted(
                f"{self.queries} of {self.max_queries} queries are spent, {len(clips)} more "
                "were asked",
                hint="the closest adversarial clips are in `best`; `reset()` begins anew",
            )
        response = self._journalled(clips)
        self.queries += len(clips)
        self._keeper.see(clips, response.labels.cpu())
        return response

    def _journalled(self, clips: Tensor) -> Response:
        """The journal's answer where it has one, else the model's, written down first."""
        if self._journal is None:
            return self._oracle.ask(clips)
        fingerprint = Fingerprint("candidate")
        fingerprint.update(clips)
        entry = next(self._replay, None)
        if entry is not None:
            if entry.fingerprint != fingerprint.digest():
                raise ContractError(
                    f"the attack asked other clips than {self._journal.path} holds",
                    hint="seed the generators ART draws from (numpy.random.seed), or delete it",
                )
            return entry.response
        response = self._oracle.ask(clips)
        self._journal.append(fingerprint.digest(), response)
        return response


def _probabilities(response: Response, classes: int) -> NDArray[np.float32]:
    """Rows that are probabilities to the last bit ART checks; one-hot where labels are shown."""
    if response.scores is None:
        labels = response.labels.cpu().numpy()
        one_hot: NDArray[np.float32] = np.eye(classes, dtype=np.float32)[labels]
        return one_hot
    scores = response.scores.detach().cpu().numpy().astype(np.float64).clip(min=0)
    normal: NDArray[np.float32] = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    return normal
