"""Read by each Python that a test under `windows_rules` starts: it keeps the same rules."""

import os

if "DBLINK_WINDOWS_RULES_ROOT" in os.environ:
    from open_file_rules import begin_in_child

    begin_in_child()
