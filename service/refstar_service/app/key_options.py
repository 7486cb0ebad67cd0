"""The words and options of `refstar keys`."""

import argparse


def add_key_commands(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="action", required=True, dest="action")

    add = actions.add_parser("add", help="create a key and show its token, or add a token to an existing key")
    add.add_argument("name", help="name of the key, which owns everything that is created with it")
    _add_limit_options(add)

    actions.add_parser("list", help="list names, token IDs and limits; the tokens themselves are never shown")

    revoke = actions.add_parser("revoke", help="revoke a key or one of its tokens")
    revoke.add_argument("name")
    revoke.add_argument(
        "--token", metavar="ID", help="revoke only the token with this ID, as shown by `list`"
    )

    limit = actions.add_parser("limit", help="set the limits and permissions of a key")
    limit.add_argument("name")
    _add_limit_options(limit)

    secret = actions.add_parser(
        "secret", help="create a new webhook secret for a key; the previous one stays valid"
    )
    secret.add_argument("name", nargs="?", help="if left out, print a secret for REFSTAR_WEBHOOK_SECRET")
    secret.add_argument(
        "--drop-old", action="store_true", help="create no secret, and sign with the newest one only"
    )


def _add_limit_options(parser: argparse.ArgumentParser) -> None:
    what = "0 means no limit; default: as in the settings"
    parser.add_argument(
        "--requests-per-minute", type=_parse_count, metavar="N", dest="limit_requests", help=what
    )
    parser.add_argument(
        "--restorations-per-day", type=_parse_count, metavar="N", dest="limit_restorations", help=what
    )
    parser.add_argument(
        "--unfinished",
        type=_parse_count,
        metavar="N",
        dest="limit_unfinished",
        help=f"restorations queued or running; {what}",
    )
    parser.add_argument(
        "--may-prioritize",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the key may use priority=high; not unless you say so",
    )


def _parse_count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)
