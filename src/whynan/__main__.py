"""`python -m whynan` is the command `whynan`; under torchrun: `torchrun ... -m whynan run train.py`."""

import sys

from whynan.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
