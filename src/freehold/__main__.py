# SPDX-License-Identifier: Apache-2.0
"""`python -m freehold` is the `freehold` program."""

import sys

from freehold.cli.main import main

sys.exit(main())
