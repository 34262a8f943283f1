"""The command line as a file, which `ray submit` can run: `pipelines/cli/__main__.py`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # Python put the file's own folder there

from pipelines.cli import main

if __name__ == "__main__":
    main()
