"""python -m torch_trn: the same as the command torch-trn."""

import sys

from .cli.main import main

sys.exit(main())
