"""`python -m tfvision`: what can be done with runs and data besides training."""

import sys

from tfvision.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
