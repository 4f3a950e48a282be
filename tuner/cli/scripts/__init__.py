"""What a Python script tells of itself, read without running it."""
