"""refstar: serve | gateway | worker | courier | keys | restore | submit | models | completion."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from refstar_service import logs, tracing
from refstar_service.app import event_loop as loop
from refstar_service.app import heap
from refstar_service.app.key_options import add_key_commands
from refstar_service.engine.errors import EngineError
from refstar_service.settings import Settings

NEEDS_ATTENTION = 1  # something asked for was not done
WRONG_USE = 2
REFUSED = 78  # EX_CONFIG: no model or detector runs with these settings, and trying again changes nothing


def main(arguments: Sequence[str] | None = None) -> None:
    """The program `refstar`; ends by SystemExit."""
    status = run(arguments)
    heap.leave_out()
    raise SystemExit(status)


def run(arguments: Sequence[str] | None = None) -> int:
    """The same, returning the exit status: 0 done, 1 failed, 2 wrong use, 78 no model or no detector runs here."""
    if "_ARGCOMPLETE" in os.environ:
        from refstar_service.app import completion

        completion.answer(_build_parser(completion.named_command()))
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _build_parser(next(iter(arguments), "")).parse_args(arguments)
    chosen = {
        name: value for name in Settings.model_fields if (value := getattr(options, name, None)) is not None
    }
    try:
        settings = Settings(**chosen)
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"])
            shown = f"REFSTAR_{name.upper()}" if name else "settings"
            print(f"refstar: {shown}: {problem['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        return WRONG_USE
    logs.configure_logging(settings.log_level, settings.log_json)
    try:
        result: int = options.run(settings, options)
    except KeyboardInterrupt:
        return 130
    except EngineError as error:
        print(f"refstar: {error}", file=sys.stderr)
        return REFUSED
    except (RuntimeError, ValueError, OSError) as error:
        # RuntimeError is also what an embedded Redis that does not start and a port that is taken raise.
        logging.getLogger("refstar").debug("failed", exc_info=True)
        print(f"refstar: {error}", file=sys.stderr)
        return NEEDS_ATTENTION
    return result


def _build_parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="refstar",
        description="Restore degraded faces, using reference pictures of the same person.",
        epilog="Every setting is also an environment variable with the prefix REFSTAR_.",
    )
    parser.add_argument(
        "--version", action="version", version=f"refstar {metadata.version('refstar-service')}"
    )
    commands = parser.add_subparsers(metavar="command", required=True)

    serve = commands.add_parser(
        "serve", help="run the gateway, a worker and an embedded Redis with one command"
    )
    _add_address_options(serve)
    serve.add_argument(
        "--data-dir",
        type=Path,
        dest="data_dir",
        metavar="FOLDER",
        help="folder of the embedded Redis, pictures and keys; each service needs its own",
    )
    _add_engine_options(serve)
    serve.set_defaults(run=_serve)

    gateway = commands.add_parser("gateway", help="run the HTTP API only; requires REFSTAR_REDIS_URL")
    _add_address_options(gateway)
    gateway.set_defaults(run=_gateway)

    worker = commands.add_parser("worker", help="run one worker; requires REFSTAR_REDIS_URL")
    _add_engine_options(worker)
    worker.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    worker.add_argument(
        "--redis-url-follows", action="store_true", help=argparse.SUPPRESS
    )  # on standard input
    worker.set_defaults(run=_worker)

    courier = commands.add_parser(
        "courier", help="deliver webhooks instead of the gateways (REFSTAR_WEBHOOK_COURIER=false)"
    )
    courier.set_defaults(run=_courier)

    keys = commands.add_parser("keys", help="create, list and revoke API keys")
    add_key_commands(keys)
    keys.set_defaults(run=_manage_keys)

    restore = commands.add_parser(
        "restore", help="restore a picture or a folder of pictures, without a server"
    )
    if command == "restore":  # else it would load half of the service to list flags that nobody reads
        from refstar_service.app.restore.flags import add_flags

        add_flags(restore)
    _add_engine_options(restore)
    restore.set_defaults(run=_restore)

    submit = commands.add_parser(
        "submit", help="restore folders and manifests of photographs on a running service"
    )
    if command == "submit":
        _add_submit_options(submit)

    models = commands.add_parser("models", help="list the installed models")
    _add_models_option(models)
    models.add_argument("--json", action="store_true", help="as JSON")
    models.set_defaults(run=_list_models)

    listed = commands.add_parser("settings", help="list every setting and the value that is in force")
    listed.add_argument("--json", action="store_true", help="as JSON, with what each one means")
    listed.set_defaults(run=_list_settings)

    completion = commands.add_parser(
        "completion", help="print a script that lets a shell complete commands, options and files"
    )
    if command == "completion":
        _add_completion_options(completion)
    return parser


def _add_address_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 8000); 0 chooses a free one")


class _JoinFolders(argparse.Action):
    """Folders of an option that is given several times, as the setting has them."""

    def __call__(
        self, parser: object, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        before = getattr(namespace, self.dest)
        folders = str(values) if before is None else f"{before}{os.pathsep}{values}"
        setattr(namespace, self.dest, Path(folders))


def _add_models_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models-dir",
        type=Path,
        dest="models_dir",
        action=_JoinFolders,
        help="folder that contains the model folders; may be given several times",
    )


def _add_engine_options(parser: argparse.ArgumentParser) -> None:
    _add_models_option(parser)
    parser.add_argument(
        "--detector", type=Path, help="a YuNet file to find faces with, instead of the shipped detector"
    )
    parser.add_argument(
        "--provider", choices=["cpu", "cuda", "tensorrt"], help="what runs the models (default: cpu)"
    )
    parser.add_argument("--threads", type=int, help="CPU threads for inference (default: all cores)")


def _add_submit_options(parser: argparse.ArgumentParser) -> None:
    """Those of `refstar-client submit`: whoever has the client only has the same command."""
    try:
        from refstar_client.submit import command
    except ModuleNotFoundError:
        raise SystemExit("refstar: `submit` needs the package refstar-client (folder client/)") from None
    parser.description = command.EXPLANATION
    command.add_flags(parser)
    parser.set_defaults(run=lambda settings, options: command.run_submission(options))


def _add_completion_options(parser: argparse.ArgumentParser) -> None:
    from refstar_service.app import completion

    def print_script(settings: Settings, options: argparse.Namespace) -> int:
        print(completion.write_script(options.shell))
        return 0

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = completion.HOW_TO_USE
    parser.add_argument("shell", choices=completion.SHELLS)
    parser.set_defaults(run=print_script)


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    from refstar_service.app.serve import run_all

    with tracing.record_spans("refstar-gateway"):  # its worker is a process of its own
        loop.run(run_all(settings))
    return 0


def _gateway(settings: Settings, options: argparse.Namespace) -> int:
    with heap.growing():
        from refstar_service.app.processes import run_gateway

    with tracing.record_spans("refstar-gateway"):
        loop.run(run_gateway(settings, _require_redis_url(settings)))
    return 0


def _worker(settings: Settings, options: argparse.Namespace) -> int:
    if options.parent is not None:
        # Whoever started it cannot end it any more then, and may be started again at once: two do not share a machine.
        from refstar_service.redis.watchdog import end_with_parent

        end_with_parent(options.parent)
    with heap.growing():
        from refstar_service.app.loading import begin_loading

    if options.redis_url_follows:  # from `refstar serve`, whose Redis may be yet to start

        def redis_url() -> str:
            return sys.stdin.readline().strip()
    else:
        known = _require_redis_url(settings)

        def redis_url() -> str:
            return known

    models = begin_loading(settings)
    with heap.growing():
        from refstar_service.app.processes import run_worker  # meanwhile: it takes as long

    with tracing.record_spans("refstar-worker"):
        loop.run(run_worker(settings, models, redis_url, started_by_serve=options.parent is not None))
    return 0


def _courier(settings: Settings, options: argparse.Namespace) -> int:
    from refstar_service.app.processes import run_courier

    loop.run(run_courier(settings, _require_redis_url(settings)))
    return 0


def _manage_keys(settings: Settings, options: argparse.Namespace) -> int:
    from refstar_service.access import Limits
    from refstar_service.app import keys as key_commands

    if options.action == "secret" and options.name is None:
        print(key_commands.new_webhook_secret())
        return 0
    url = _require_redis_url(settings) if settings.access == "redis" else None
    limits = None
    if options.action in ("add", "limit"):
        limits = Limits(options.limit_requests, options.limit_restorations, options.limit_unfinished)
    command = key_commands.Command(
        action=options.action,
        name=getattr(options, "name", None) or "",
        token=getattr(options, "token", None),
        limits=limits,
        may_prioritize=getattr(options, "may_prioritize", None),
        drop_old=getattr(options, "drop_old", False),
    )
    for line in asyncio.run(key_commands.run_command(settings, url, command)):
        print(line)
    return 0


def _require_redis_url(settings: Settings) -> str:
    if settings.redis_url is None:
        raise RuntimeError("set REFSTAR_REDIS_URL, or use `refstar serve`, which starts a Redis of its own")
    return settings.redis_url


def _restore(settings: Settings, options: argparse.Namespace) -> int:
    from refstar_service.app.restore.flags import read_flags
    from refstar_service.app.restore.run import restore_files

    return restore_files(settings, read_flags(options))


def _list_settings(settings: Settings, options: argparse.Namespace) -> int:
    from refstar_service.app import setting_list

    print(setting_list.write_json(settings) if options.json else setting_list.write_values(settings))
    return 0


def _list_models(settings: Settings, options: argparse.Namespace) -> int:
    from refstar_service.app.model_list import list_models

    print(list_models(settings, options.json))
    return 0


if __name__ == "__main__":
    main()
