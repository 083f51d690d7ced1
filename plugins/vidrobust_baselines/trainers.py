"""Which attacks have an agent to train, and where its trainer is. Imports nothing."""

from __future__ import annotations

TRAINERS: dict[str, str] = {
    "sparse": "vidrobust_baselines.sparse_training:SparseTrainer",
    "rlsb": "vidrobust_baselines.rlsb_training:RlsbTrainer",
    "astfocus": "vidrobust_astfocus.training:AstFocusTrainer",
    "astfocus-plus": "vidrobust_astfocus.training:AstFocusTrainer",
}
"""A factory per attack, called with a `vidrobust_baselines.training.Setup` and with keywords for
its own settings (`--set train.KEY=VALUE`); it gives an `AgentTrainer`."""
