"""Runs the program that is its last word."""

import sys

if __name__ == "__main__":
    exec(compile(sys.argv[-1], "<program>", "exec"))
