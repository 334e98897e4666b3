"""`python -m cvae_tf COMMAND` is the command `cvae-tf COMMAND`."""

from cvae_tf import cli

if __name__ == "__main__":
    cli.main()
