"""Where Trimtab keeps its things, and what the environment may change."""

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "TRIMTAB_HOME"


def home() -> Path:
    """The home folder: TRIMTAB_HOME, else the user's data folder. It need not exist yet."""
    chosen = os.environ.get(HOME_VARIABLE)
    return Path(chosen).expanduser().resolve() if chosen else platformdirs.user_data_path("trimtab")
