"""`python -m eennc`."""

import sys

from eennc.cli import main

sys.exit(main())
