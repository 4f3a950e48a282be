"""What a gang prints, read: records of progress, and why it failed."""
