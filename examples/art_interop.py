"""vidrobust and the Adversarial Robustness Toolbox (ART), both ways, on a small trained network.

    pip install 'vidrobust[art]'
    python examples/art_interop.py

Takes about a minute on two CPU cores and needs no network. The page `use-with-art` of the
documentation explains each step.
"""

from __future__ import annotations

import numpy as np
from art.attacks.evasion import HopSkipJump, SquareAttack
from art.estimators.classification import PyTorchClassifier
from torch import nn
from vidrobust_zoo.models import c3d
from vidrobust_zoo.motions import clip

import vidrobust
from vidrobust.art import ArtClassifier, BudgetExhausted, VideoClassifier
from vidrobust.art.views import from_clips

# A threat model as an ART estimator: the clip as an image, at most 60 questions.
model = c3d()
victim = VideoClassifier(model, view="fold", max_queries=60)
x = from_clips(clip("test", 0, 0)[None], "fold")
np.random.seed(0)
try:
    SquareAttack(victim, eps=0.05, max_iter=100, verbose=False).generate(x)
except BudgetExhausted as error:
    print("ART's Square Attack:", error)
print("fooled:", victim.success.tolist(), "after", victim.queries, "queries")

# The same attack as a recipe: our count, success rule, records and journal.
threat = vidrobust.ThreatModel(queries=60)
outcome = vidrobust.attack(clip("test", 0, 0), model=model, attack="art-square", threat=threat)
print("as a recipe:", outcome.status, outcome.queries)


# An ART estimator of (n, c, t, h, w): our attack on it, called as ART's own are.
class Swapped(nn.Module):
    """The zoo's network behind the layout that ART estimators of clips usually have."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = c3d().module

    def forward(self, clips):  # noqa: D102
        return self.inner(clips.float().transpose(1, 2).contiguous())


estimator = PyTorchClassifier(
    Swapped(),
    loss=nn.CrossEntropyLoss(),
    input_shape=(3, 16, 112, 112),
    nb_classes=len(model.spec.classes),
    clip_values=(0, 1),
    device_type="cpu",
)
x = from_clips(clip("test", 0, 0)[None], "ncfhw")
attack = vidrobust.art.Square(estimator, eps=0.05, max_queries=60, verbose=False)
adversarial = attack.generate(x)
print("our Square inside ART:", attack.success, attack.queries)
print("largest change:", round(float(np.abs(adversarial - x).max()), 3))

# The same estimator as a threat model, for anything that takes one.
back = ArtClassifier(estimator, model.spec.classes)
outcome = vidrobust.attack(clip("test", 0, 0), model=back, attack="square", threat=threat)
print("on the ART classifier:", outcome.status, outcome.queries)

# ART's label-only attack on our counted estimator: the best clip survives the end of the budget.
victim = VideoClassifier(model, view="ncfhw", max_queries=40, access="label")
try:
    HopSkipJump(victim, norm=np.inf, init_eval=10, max_eval=10, verbose=False).generate(x)
except BudgetExhausted:
    change = float(np.abs(victim.best - x).max())
    print("HopSkipJump:", victim.success.tolist(), "largest change", round(change, 2))
