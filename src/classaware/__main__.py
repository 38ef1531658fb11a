"""``python -m classaware``."""

import sys

from classaware.commands.main import main

sys.exit(main())
