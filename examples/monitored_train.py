"""Runs a training command with nvidia-smi beside it, whose figures Trimtab then reads.

Trimtab takes figures of this computer's GPUs by itself; this is for whatever else writes them.
"""

import os
import shutil
import subprocess
import sys

FIELDS = "index,utilization.gpu,memory.used,power.draw,clocks.sm"


def start_monitor() -> "subprocess.Popen[bytes] | None":
    """A line for each GPU of this trial each second; None where there is nothing to look at."""
    program, folder = shutil.which("nvidia-smi"), os.environ.get("TRIMTAB_OUTPUT_DIR")
    if program is None or folder is None:
        return None
    command = [program, f"--query-gpu={FIELDS}", "--format=csv,noheader", "--loop=1"]
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
    command += [f"--id={gpus}"] if gpus else []
    return subprocess.Popen([*command, f"--filename={folder}/gpu.csv"])


def main() -> int:
    monitor = start_monitor()
    try:
        return subprocess.call(sys.argv[1:])
    finally:
        if monitor is not None:
            monitor.terminate()
            monitor.wait()


if __name__ == "__main__":
    sys.exit(main())
