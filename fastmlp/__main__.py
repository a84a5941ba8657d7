"""`python -m fastmlp`: the command line, see cli.py."""

import sys

from fastmlp.cli import main

if __name__ == "__main__":
    sys.exit(main())
