"""Scripts that trials start as processes; of ours they import `tuner.report` only, else torch."""

import os

# Threads that spin while they wait take the core from other ranks. libgomp reads this at its start.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
