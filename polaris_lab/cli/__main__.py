"""``python -m polaris_lab.cli`` is ``polaris-lab``."""

import sys

from polaris_lab.cli import main

if __name__ == "__main__":  # worker processes import this file again
    sys.exit(main())
