"""The project's folder as a package: whatever else is called utils.py, `from incv import utils` is this project's."""
from pathlib import Path

__path__ = [str(Path(__file__).resolve().parent.parent)]

from incv.__init__ import __getattr__  # noqa: E402, F401 (that of the folder, which an installed package has)
