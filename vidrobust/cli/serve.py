"""`vidrobust serve`."""

from __future__ import annotations

import os

import click

from vidrobust.cli.output import HELP, App, pass_app
from vidrobust.errors import ConfigError, PluginError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command(context_settings=HELP)
@click.option("--model", required=True, metavar="NAME", help="Model, see `vidrobust list models`.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Give a key of the model, such as model.device=cpu. Repeatable.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Port to listen on; 0 finds one.")
@click.option(
    "--shows",
    type=click.Choice(["label", "top-1", "top-k", "scores"]),
    default="scores",
    show_default=True,
    help="What answers carry.",
)
@click.option("--top-k", type=click.IntRange(1), default=5, show_default=True, help="Of top-k.")
@click.option("--digits", type=click.IntRange(1, 9), help="Round scores to this many decimals.")
@click.option("--token-env", metavar="NAME", help="Ask for the token in this environment variable.")
@pass_app
def serve(
    app: App,
    /,
    model: str,
    overrides: tuple[str, ...],
    host: str,
    port: int,
    shows: str,
    top_k: int,
    digits: int | None,
    token_env: str | None,
) -> None:
    """Answer clips over HTTP with any model, until interrupted.

    The model `http` asks such a service. Prints the address once it listens.
    """
    from vidrobust.bench.config import load_config
    from vidrobust.bench.resolve import resolve_table
    from vidrobust.types import Access

    try:
        import uvicorn

        from vidrobust.bench.service import ADDRESS, Service
    except ImportError as error:
        raise PluginError(
            f"vidrobust serve needs the extra http: {error}", hint="pip install 'vidrobust[http]'"
        ) from error
    token = _token(token_env)
    if not token and host not in LOOPBACK:
        app.say(f"whoever reaches {host}:{port} may ask; --token-env asks for a token")
    config = load_config(None, [("model.use", model), *overrides])
    classifier = resolve_table(config["model"], "model", app.host).build()
    service = Service(classifier, Access(shows), top_k, digits, token)
    settings = uvicorn.Config(service.application(), host=host, port=port, log_level="warning")
    listening = settings.bind_socket()
    name = f"[{host}]" if ":" in host else host
    app.text(f"http://{name}:{listening.getsockname()[1]}{ADDRESS}")
    uvicorn.Server(settings).run(sockets=[listening])


def _token(variable: str | None) -> str:
    if not variable:
        return ""
    token = os.environ.get(variable, "")
    if not token:
        raise ConfigError(f"--token-env: {variable} is not set", hint=f"export {variable}=...")
    return token
