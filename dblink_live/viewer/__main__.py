"""``python -m dblink_live.viewer ADDRESS_OR_RUN``."""

import sys

from dblink_live.viewer.app import main

if __name__ == "__main__":
    sys.exit(main())
