"""The `eudora` command in the tests' own process: loading it anew costs two seconds of a core each time."""

from click.testing import CliRunner, Result

from cli import context
from cli.main import main


def eudora(*words: str) -> Result:
    """Run a command in the system's home, as a new process would: from the configuration as it is now."""
    context.settings.cache_clear()
    return CliRunner().invoke(main, words)
