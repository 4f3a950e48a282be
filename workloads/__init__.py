"""Training and serving scripts that trials start as processes; they import `tuner.report` and torch."""
