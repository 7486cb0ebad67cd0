"""The commands of a document: what stands in its fenced ``sh`` blocks, one by one."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def find_command(document: Path, *beginning: str) -> list[str]:
    """The one command that begins so, behind the program's name."""
    found = [c for c in read_commands(document) if tuple(c[1 : 1 + len(beginning)]) == beginning]
    assert len(found) == 1, f"{document} has {len(found)} commands {' '.join(beginning)}"
    return found[0]


def swap_words(command: list[str], swapped: Mapping[str, object]) -> list[str]:
    """The command with other words for some of its own, all of which it has."""
    assert set(swapped) <= set(command), f"{command} does not have {swapped.keys() - set(command)}"
    return [str(swapped.get(word, word)) for word in command]


def read_commands(document: Path) -> list[list[str]]:
    """The words of every command, without comments; those that a semicolon or ``&&`` joins count as several."""
    commands: list[list[str]] = []
    for block in _BLOCK.findall(document.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            lexed = shlex.shlex(line, posix=True, punctuation_chars=";&")
            lexed.whitespace_split, lexed.commenters = True, "#"
            command: list[str] = []
            for word in [*lexed, ";"]:
                if word in (";", "&&"):
                    if command:
                        commands.append(command)
                    command = []
                else:
                    command.append(word)
    return commands
