"""`python -m explorer`: the cache, and what a bug report needs."""

import sys

from explorer.command_line import main

sys.exit(main(sys.argv[1:]))
