"""Where the process of a keeper begins: `python -m tuner.targets.keeping FOLDER CHECKPOINT_S`."""

import os
import sys

from tuner.targets.keeper import main

if __name__ == "__main__":
    if os.fork():
        os._exit(0)  # whoever started it has no child to wait for
    main(*sys.argv[1:])
