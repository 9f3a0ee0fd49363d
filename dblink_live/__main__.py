"""``python -m dblink_live``: the same as the command ``dblink-live``."""

import sys

from dblink_live.cli import main

if __name__ == "__main__":
    sys.exit(main())
