"""The command line: parses, calls one method of `tuner.service`, prints."""
