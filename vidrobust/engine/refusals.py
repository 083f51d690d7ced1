"""What an attack is told of a query that a defended model refused."""

from __future__ import annotations

import torch

from vidrobust.types import Response


def with_refusals_filled(response: Response, clean: Response) -> Response:
    """The answer with the scores of the clean clip where the model refused to give any.

    A refusal tells an attacker nothing of the scores; the best that it knows without asking is what
    the clean clip gets. So losses stay finite, and a refused probe pulls an estimate nowhere near
    success. The labels still say which clips were refused.

    Args:
        response: As the oracle gave it.
        clean: The answer to the clean clip, one row, not refused.
    """
    refused = response.refused
    if response.scores is None or clean.scores is None or not bool(refused.any()):
        return response
    scores = torch.where(refused[:, None], clean.scores, response.scores)
    return Response(response.labels, scores)
