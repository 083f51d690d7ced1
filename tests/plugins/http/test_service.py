"""The service itself: what it refuses, and what a clip is on its way."""

from __future__ import annotations

import json

import httpx
import numpy as np
import pytest
import torch

from vidrobust.bench.service import Service
from vidrobust.errors import VideoError
from vidrobust.testing import LinearVictim
from vidrobust.types import Access
from vidrobust.video.io import encode_decode, quantise
from vidrobust.video.wire import MEDIA, pack, unpack

VICTIM = LinearVictim()
CLIP = VICTIM.clip(0)


@pytest.mark.parametrize(
    ("wire", "seen"), [("npy", lambda clip: clip), ("png", quantise), ("h264", encode_decode)]
)
def test_a_clip_arrives_as_its_form_allows(wire, seen):
    assert torch.equal(unpack(MEDIA[wire], pack(CLIP, wire), VICTIM.spec), seen(CLIP))


def npy(array) -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("media", "body", "words"),
    [
        ("text/plain", b"hello", "is no clip"),
        (MEDIA["npy"], b"hello", "no .npy file"),
        (MEDIA["npy"], npy(np.zeros((4, 3, 16, 17), np.float32)), "expected float32"),
        (MEDIA["npy"], npy(np.zeros((4, 3, 16, 16))), "float64"),
        (MEDIA["npy"], npy(np.zeros((4, 3, 16, 16), np.float32))[:-4], "were announced"),
        (MEDIA["npy"], npy(np.full((4, 3, 16, 16), 255, np.float32)), r"expected \[0, 1\]"),
        (MEDIA["png"], b"{}", "base64 PNG"),
        (MEDIA["png"], json.dumps({"frames": ["aGVsbG8="]}).encode(), "no PNG images"),
        (MEDIA["png"], pack(CLIP[:2], "png"), r"shape \(2, 3, 16, 16\)"),
        (MEDIA["h264"], b"hello", "clip.mp4"),
    ],
)
def test_what_is_no_clip_of_the_model_is_refused(media, body, words):
    with pytest.raises(VideoError, match=words):
        unpack(media, body, VICTIM.spec)


def test_a_service_describes_itself_and_counts(behind):
    one = behind(shows=Access.TOP_K, top_k=2)

    told = httpx.get(one.url).json()

    assert told["classes"] == list(one.victim.spec.classes)
    assert (told["frames"], told["shows"], told["top_k"], told["answered"]) == (4, "top-k", 2, 0)


def test_a_service_says_what_is_wrong_with_a_request(behind):
    one = behind()
    key = {"idempotency-key": ""}

    wrong = httpx.post(one.url, content=b"hello", headers={"content-type": "text/plain", **key})
    large = httpx.post(one.url, content=bytes(200_000), headers=key)

    assert (wrong.status_code, wrong.json()) == (
        422,
        {"detail": "content type 'text/plain' is no clip"},
    )
    assert large.status_code == 413
    assert one.service.answered == 0


def test_scores_are_rounded_on_demand():
    visible = Service(VICTIM, digits=2)._visible([0.123, 0.456, 0.421])

    assert visible == {
        "label": "class-1",
        "scores": {"class-0": 0.12, "class-1": 0.46, "class-2": 0.42},
    }
