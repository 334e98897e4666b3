"""Exports a run again: run directory -> SavedModel and GIF, or other formats."""

from cvae_tf import cli

if __name__ == "__main__":
    cli.run("export")
