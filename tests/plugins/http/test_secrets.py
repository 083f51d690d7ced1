"""The credential goes to the service and nowhere else."""

from __future__ import annotations

import logging
import shutil
import subprocess

import pytest
from http_servers import Running

from vidrobust.bench.config import load_config, resolve
from vidrobust.bench.plan import config_digest
from vidrobust.bench.record import RunFolder
from vidrobust.bench.runner import Runner
from vidrobust.errors import ConfigError, ModelError
from vidrobust.plugin.manager import PluginHost

TOKEN = "s3cret-t0ken"


@pytest.fixture
def credential(monkeypatch):
    monkeypatch.setenv("SERVICE_TOKEN", TOKEN)
    return {"token_env": "SERVICE_TOKEN"}


def test_the_credential_opens_the_service(behind, ask, credential):
    one = behind(token=TOKEN)

    assert ask(one.url, **credential)(one.clips(1)).shape == (1, 5)
    assert one.faults.headers["authorization"] == f"Bearer {TOKEN}"
    with pytest.raises(ModelError, match="status 401") as caught:
        ask(one.url)
    assert "model.token_env" in caught.value.hint


def test_another_header_carries_the_credential_bare(behind, ask, credential):
    one = behind()

    ask(one.url, token_header="X-Api-Key", **credential)(one.clips(1))

    assert one.faults.headers["x-api-key"] == TOKEN
    assert "authorization" not in one.faults.headers


@pytest.mark.parametrize("fault", [f"400 bad {TOKEN}", f"500 {TOKEN}", f"200 {TOKEN}"])
def test_a_service_that_repeats_the_credential_is_not_quoted(behind, ask, credential, fault):
    one = behind(lambda number: fault)

    with pytest.raises(ModelError) as caught:
        ask(one.url, retries=0, **credential)(one.clips(1))

    assert "***" in caught.value.message
    assert TOKEN not in f"{caught.value.message} {caught.value.hint}"


def test_a_run_leaves_no_trace_of_the_credential(behind, credential, tmp_path, caplog, videos):
    caplog.set_level(logging.DEBUG)
    one = behind(lambda number: "500 later" if number == 3 else None, token=TOKEN)
    base = {
        "model": {"use": "http", "url": one.url, "backoff": 0.001, **credential},
        "source": {"use": "folder", "path": str(videos)},
        "threat": {"queries": 10},
        "attack": {"use": "square"},
    }
    host = PluginHost()

    Runner(resolve(base, host), host, RunFolder(tmp_path / "run")).run()

    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(written) > 2
    assert all(TOKEN.encode() not in path.read_bytes() for path in written)
    assert "127.0.0.1" in caplog.text
    assert TOKEN not in caplog.text


def test_nothing_shows_the_credential_when_printed(behind, ask, credential):
    model = ask(behind(token=TOKEN).url, **credential)

    assert TOKEN not in f"{model!r} {model._client!r} {model._client} {model._meter!r}"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "https://me:pass@host/x"}, "holds a credential"),
        ({"url": "http://example.org/x"}, "without encryption"),
        ({"url": "host/x"}, "expected http:// or https://"),
        ({"headers": {"X-Api-Key": "abc"}}, "X-Api-Key looks like a credential"),
        ({"token_env": "NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE is not set"),
        ({"ca": "no-such-file.pem"}, "holds no certificates"),
    ],
)
def test_what_would_leak_is_refused(ask, credential, options, words):
    arguments = {"url": "https://host/x", "classes": ["a", "b"], **credential, **options}

    with pytest.raises(ConfigError, match=words) as caught:
        ask(**arguments)

    assert "pass@" not in f"{caught.value.message} {caught.value.hint}"


def test_a_query_string_is_not_shown(behind, ask):
    one = behind(lambda number: "400 no")

    with pytest.raises(ModelError) as caught:
        ask(f"{one.url}?key=abc123")(one.clips(1))

    assert "abc123" not in caught.value.message


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate of 127.0.0.1, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([openssl, *words.split(), *names, *files], check=True, capture_output=True)
    return folder


def test_a_certificate_nobody_vouches_for_is_refused_and_one_of_the_given_authority_is_not(
    behind, ask, certificate
):
    one = behind()
    files = {"ssl_certfile": certificate / "cert.pem", "ssl_keyfile": certificate / "key.pem"}
    server = Running(one.faults, **files)
    try:
        with pytest.raises(ModelError, match="certificate is not trusted") as caught:
            ask(server.url)
        model = ask(server.url, ca=str(certificate / "cert.pem"))
        answers = model(one.clips(1))
        model.close()
    finally:
        server.stop()

    assert "model.ca" in caught.value.hint
    assert answers.tolist() == one.truth(1).tolist()


def test_keys_that_change_no_answer_may_differ_on_resume(videos):
    host = PluginHost()

    def digest(*sets: str) -> str:
        base = {
            "model": {"use": "http", "url": "http://127.0.0.1:1/x", "classes": ["a", "b"]},
            "source": {"use": "folder", "path": str(videos)},
            "attack": {"use": "square"},
        }
        return config_digest(resolve(load_config(None, sets, base=base), host))

    idle = ["rate=3.0", "money=9.5", "price=0.1", "concurrency=2", "token_env=NAME", "timeout=1.0"]
    telling = ["url=http://127.0.0.1:2/x", "send=png", "shows=label", "frames=8"]

    assert {digest(f"model.{text}") for text in idle} == {digest()}
    assert len({digest(), *(digest(f"model.{text}") for text in telling)}) == 5
