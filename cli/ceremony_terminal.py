"""The terminal under a dialogue: shows, clears, asks without echo. Nothing is decided here."""

import getpass
import sys
import termios
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import click

from security_module.dialogue import Aborted, Ask, Clear, Dialogue, Show

T = TypeVar("T")

_CLEAR = "\x1b[2J\x1b[3J\x1b[H"
"""Clears the screen, then what can be scrolled back, then goes home."""


def hold(dialogue: Dialogue[T]) -> T:
    """Lead *dialogue* with the people at this terminal and return its result.

    Raises:
        click.ClickException: there is no terminal, or the dialogue was ended; the screen is cleared.
    """
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        raise click.ClickException("this needs a terminal: keys and shares are neither piped nor shown in a file")
    answer: str | None = None
    try:
        with _echo(is_on=False):
            while True:
                step = dialogue.send(answer) if answer is not None else next(dialogue)
                answer = ""
                if isinstance(step, Clear):
                    click.echo(_CLEAR, nl=False)
                elif isinstance(step, Show):
                    click.echo(step.text)
                elif isinstance(step, Ask):
                    answer = _ask(step)
    except StopIteration as stop:
        result: T = stop.value
        return result
    except (Aborted, EOFError, KeyboardInterrupt, getpass.GetPassWarning) as error:
        click.echo(_CLEAR, nl=False)
        raise click.ClickException("ended; nothing was changed / terminado; nada cambió") from error


@contextmanager
def _echo(*, is_on: bool) -> Iterator[None]:
    """Switch the terminal's echo for a while. Off between the questions: a share that is typed too early must not be seen."""
    before = termios.tcgetattr(sys.stdin)
    wanted = list(before)
    wanted[3] = before[3] | termios.ECHO if is_on else before[3] & ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, wanted)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _ask(question: Ask) -> str:
    if question.is_secret:
        return _ask_silently(question.text)
    with _echo(is_on=not question.is_pause):
        return input(question.text)


def _ask_silently(text: str) -> str:
    """Ask without echo; where the echo cannot be switched off this is an error, not the warning that `getpass` gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        return getpass.getpass(text)
