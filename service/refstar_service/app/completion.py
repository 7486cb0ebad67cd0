"""Completion by shells: they run `refstar` with the line so far, and it says what may come next."""

import argparse
import os
from pathlib import Path

import argcomplete
from argcomplete.completers import DirectoriesCompleter, FilesCompleter, SuppressCompleter
from argcomplete.shell_integration import shellcode

SHELLS = ("bash", "zsh", "fish")
HOW_TO_USE = """\
Print a script that lets a shell complete commands, options and files.

  bash   eval "$(refstar completion bash)"       in ~/.bashrc
  zsh    eval "$(refstar completion zsh)"        in ~/.zshrc, after compinit
  fish   refstar completion fish | source        in ~/.config/fish/config.fish"""


def named_command() -> str:
    """The command in the line that is completed."""
    words = os.environ.get("COMP_LINE", "").split()
    return words[1] if len(words) > 1 else ""


def answer(parser: argparse.ArgumentParser) -> None:
    """Say what may come next, and end."""
    _choose_completers(parser)
    argcomplete.autocomplete(parser, default_completer=SuppressCompleter(), always_complete_options=False)


def write_script(shell: str) -> str:
    script: str = shellcode(["refstar"], shell=shell)
    return script


def _choose_completers(parser: argparse.ArgumentParser) -> None:
    """Files where files are meant, and nothing where the program cannot know."""
    for action in parser._actions:  # argparse has no other list of them
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _choose_completers(command)
        elif action.type is Path or action.dest == "output":
            completer = DirectoriesCompleter() if action.dest == "models_dir" else FilesCompleter()
            action.completer = completer  # type: ignore[attr-defined]  # a field that argcomplete reads
