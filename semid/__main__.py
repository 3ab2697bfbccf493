"""`python -m semid` is the command `semid`."""

import sys

from semid.cli import main

if __name__ == "__main__":
    sys.exit(main())
