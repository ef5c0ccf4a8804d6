"""The project's folder as a package: `from incv import utils` always imports this project's utils.py."""
from pathlib import Path

__path__ = [str(Path(__file__).resolve().parent.parent)]

from incv.__init__ import __getattr__  # noqa: E402, F401 (that of the folder, which an installed package has)
