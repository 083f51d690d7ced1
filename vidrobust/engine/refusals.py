"""What an attack is told of a query that a defended model refused."""

from __future__ import annotations

import torch

from vidrobust.types import Response, Role


def with_refusals_filled(response: Response, clean: Response, role: Role) -> Response:
    """The answer with scores, too, where the model refused to give any.

    A refusal tells an attacker nothing of the scores, so it gets what it could guess. Probes of one
    query stand near each other, and what matters is how they differ: a refused one gets the mean of
    those answered, and its pair of NES says little instead of a step as large as the whole way from
    the clean clip. A candidate gets the scores of the clean clip, as do probes all of which are
    refused. So losses stay finite. The labels still say which clips were refused.

    Args:
        response: As the oracle gave it, the whole query.
        clean: The answer to the clean clip, one row, not refused.
        role: Of the query.
    """
    refused = response.refused
    if response.scores is None or clean.scores is None or not bool(refused.any()):
        return response
    guess = clean.scores
    if role == "probe" and not bool(refused.all()):
        guess = response.scores[~refused].mean(dim=0, keepdim=True)
    return Response(response.labels, torch.where(refused[:, None], guess, response.scores))
