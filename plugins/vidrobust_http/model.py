"""The model `http`: a recognition service behind a URL, its answers by a declared schema."""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

import httpx
from annotated_types import Ge, Gt, Le

from vidrobust.errors import ConfigError, ModelError
from vidrobust.plugin.marks import OPERATIONAL
from vidrobust.types import Access, ClipSpec
from vidrobust.video.wire import Wire
from vidrobust_http.classifier import HttpClassifier
from vidrobust_http.client import Client
from vidrobust_http.meter import Meter
from vidrobust_http.schema import Schema

T = TypeVar("T")
Shows: TypeAlias = Literal["label", "top-1", "top-k", "scores"]

_SECRETS = ("authorization", "cookie", "key", "token", "secret", "password")
_SIZES = {"frames": 16, "height": 112, "width": 112, "resize": 128}


def http_model(
    url: str,
    classes: list[str] | str | None = None,
    *,
    shows: Shows | None = None,
    top_k: Annotated[int, Ge(1)] | None = None,
    send: Wire = "npy",
    quality: Annotated[int, Ge(0), Le(51)] = 23,
    label: str = "label",
    score: str = "score",
    top: str = "top",
    scores: str = "scores",
    top_label: str = "label",
    top_score: str = "score",
    frames: Annotated[int, Ge(1)] | None = None,
    height: Annotated[int, Ge(1)] | None = None,
    width: Annotated[int, Ge(1)] | None = None,
    resize: Annotated[int, Ge(1)] | None = None,
    headers: dict[str, str] | None = None,
    ca: str = "",
    token_env: Annotated[str, OPERATIONAL] = "",
    token_header: Annotated[str, OPERATIONAL] = "Authorization",
    concurrency: Annotated[int, Ge(1), OPERATIONAL] = 8,
    rate: Annotated[float, Ge(0), OPERATIONAL] = 0.0,
    timeout: Annotated[float, Gt(0), OPERATIONAL] = 30.0,
    retries: Annotated[int, Ge(0), OPERATIONAL] = 8,
    backoff: Annotated[float, Gt(0), OPERATIONAL] = 0.5,
    patience: Annotated[float, Gt(0), OPERATIONAL] = 300.0,
    max_response: Annotated[int, Gt(0), OPERATIONAL] = 2**20,
    price: Annotated[float, Ge(0), OPERATIONAL] = 0.0,
    money: Annotated[float, Ge(0), OPERATIONAL] | None = None,
) -> HttpClassifier:
    """A threat model that is asked over HTTP, one clip a request.

    Args:
        url: Where clips are sent to, by POST. What is left out here is asked there, by GET, as
            `vidrobust serve` answers it.
        classes: Class names: a list, or a text file with one a line, in the order of the scores.
        shows: What answers carry: `label`, `top-1` (the label and its score), `top-k` or `scores`.
        top_k: How many classes an answer shows under `top-k`; 5 where the service does not say.
        send: How clips are sent: `npy` (float32, lossless), `png` (frames of 8 bit, lossless from
            there) or `h264` (a video file, lossy).
        quality: Constant rate factor of `h264`, 0 (best) to 51.
        label: Path of the label in an answer, keys and indices joined by dots; a name or an index.
        score: Path of the label's score.
        top: Path of the list of best classes; `.` is the whole answer.
        scores: Path of all scores: a list in the order of the classes, or an object by name.
        top_label: Path of the class in an element of `top`.
        top_score: Path of the score in an element of `top`.
        frames: Frames per clip; 16 where the service does not say.
        height: Of a frame, in pixels; 112 where the service does not say.
        width: Of a frame, in pixels; 112 where the service does not say.
        resize: Short side to which a video is resized before the crop; 128 where the service does
            not say.
        headers: Further headers, with no secret among them.
        ca: File of the certificate authorities to trust instead of the system's.
        token_env: Environment variable that holds the credential. It is never written anywhere.
        token_header: Header that carries it; `Authorization` carries `Bearer` and the credential.
        concurrency: Requests at a time.
        rate: Most requests a second; 0 is no limit.
        timeout: Seconds one request may take.
        retries: How often a request that brought no answer is sent again.
        backoff: Seconds before the first repetition, doubled for each further one.
        patience: Seconds after which a query is given up.
        max_response: Most bytes of an answer.
        price: Of one answer, in whatever currency.
        money: Most that the run may spend; the run stops before it would spend more.

    Raises:
        ConfigError: If a setting makes no sense, or a secret is about to leak.
        ModelError: If the service does not describe itself and something is left out.
    """
    secret = _secret(token_env)
    client = Client(
        _checked(url, secret),
        headers=_headers(headers or {}, secret, token_header),
        secret=secret,
        timeout=timeout,
        retries=retries,
        patience=patience,
        backoff=backoff,
        rate=rate,
        max_response=max_response,
        ca=_authorities(ca),
        connections=concurrency,
    )
    try:
        given = dict(zip(_SIZES, (frames, height, width, resize), strict=True))
        told = {} if classes is not None else _description(client)
        spec = _spec(client, classes, given, told)
        access = Access(shows or _told(told, "shows", str) or "scores")
        shown = top_k or _told(told, "top_k", int) or 5
    except BaseException:
        client.close()
        raise
    schema = Schema(spec.classes, access, label, score, top, scores, top_label, top_score)
    return HttpClassifier(
        spec,
        client,
        schema,
        Meter(price, money),
        top_k=shown,
        send=send,
        quality=quality,
        concurrency=concurrency,
    )


def _secret(variable: str) -> str:
    if not variable:
        return ""
    secret = os.environ.get(variable, "").strip()
    if not secret:
        raise ConfigError(
            f"token_env: the environment variable {variable} is not set",
            hint=f"export {variable}=... before the run",
        )
    return secret


def _checked(url: str, secret: str) -> str:
    """The URL, unless it holds a credential or would show one to the network."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigError(f"url: it is none: {error}", hint="write https://host/path") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError("url: expected http:// or https:// and a host")
    if parsed.userinfo:
        raise ConfigError(
            "url: it holds a credential, and a config is written into every record",
            hint="put the credential into an environment variable, its name into model.token_env",
        )
    if secret and parsed.scheme == "http" and not _is_loopback(parsed.host):
        raise ConfigError(
            f"url: the credential of token_env would go to {parsed.host} without encryption",
            hint="use https://",
        )
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _headers(extra: Mapping[str, str], secret: str, header: str) -> dict[str, str]:
    for name in extra:
        if any(word in name.lower() for word in _SECRETS):
            raise ConfigError(
                f"headers: {name} looks like a credential, and a config is written into every "
                "record",
                hint="put it into an environment variable: model.token_env, model.token_header",
            )
    if not secret:
        return dict(extra)
    scheme = "Bearer " if header.lower() == "authorization" else ""
    return {**extra, header: f"{scheme}{secret}"}


def _authorities(ca: str) -> str:
    try:
        ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"ca: {ca} holds no certificates: {error}") from None
    return ca


def _description(client: Client) -> dict[str, object]:
    told = client.get()
    if not isinstance(told, dict) or not isinstance(told.get("classes"), list):
        raise ModelError(
            f"{client.place} does not describe itself as `vidrobust serve` does",
            hint="give model.classes, frames, height, width and shows yourself",
        )
    return told


def _spec(
    client: Client,
    classes: list[str] | str | None,
    given: Mapping[str, int | None],
    told: Mapping[str, object],
) -> ClipSpec:
    names = _names(told.get("classes", []) if classes is None else classes)
    if len(names) < 2 or len(set(names)) < len(names):
        raise ConfigError(
            f"classes: expected two or more different names, got {len(names)} with "
            f"{len(names) - len(set(names))} repeated ({client.place})"
        )
    sizes = {name: value or _told(told, name, int) or _SIZES[name] for name, value in given.items()}
    if sizes["resize"] < min(sizes["height"], sizes["width"]):
        raise ConfigError(
            f"resize: a short side of {sizes['resize']} is smaller than the crop "
            f"{sizes['height']} x {sizes['width']}"
        )
    return ClipSpec(names, **sizes)


def _names(classes: object) -> tuple[str, ...]:
    if not isinstance(classes, str):
        assert isinstance(classes, list)
        return tuple(str(name) for name in classes)
    try:
        lines = Path(classes).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"classes: {classes} cannot be read: {error}") from error
    return tuple(line.strip() for line in lines if line.strip())


def _told(told: Mapping[str, object], name: str, kind: type[T]) -> T | None:
    value = told.get(name)
    if value is not None and not isinstance(value, kind):
        raise ModelError(f"the service describes {name} as {value!r}, expected {kind.__name__}")
    return value
