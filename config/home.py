"""Where one installation keeps its state: sealed keys, certificates, the embedded database, the configuration file."""

import os
from pathlib import Path

HOME_VARIABLE = "EUDORA_HOME"
"""Environment variable that names the state directory."""

HOME_DEFAULT = "var"
"""Used without the variable, below the working directory, so that a checkout keeps its state beside the code."""

CONFIG_FILE = "eudora.toml"
"""Name of the configuration file inside the state directory."""


def eudora_home() -> Path:
    """Return the state directory, absolute; it need not exist yet.

    An empty ``EUDORA_HOME`` counts as not set: a service file with a blank line must not mean the root directory.
    """
    return Path(os.environ.get(HOME_VARIABLE) or HOME_DEFAULT).absolute()
