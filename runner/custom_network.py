"""Load a custom network: a function in any Python file, given as `--architecture FILE.py:FUNCTION`.

    def preact_resnet18(input_shape, num_classes, seed):        # returns a keras.Model: images in [0, 1] -> logits
        ...

The command line looks for the function without running the file; `load` runs it when a run starts. networks.py builds and
checks the network.
"""
import ast
import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path

from incv import utils

BN_MOMENTUM = "the network's own"  # the setting bn_momentum of its runs
_loaded = {}  # {architecture: (checksum, module)}


def is_file(architecture):
    """Return whether the value of --architecture names a function in a file, not one of registry.ARCHITECTURES."""
    return architecture is not None and (":" in architecture or architecture.endswith(".py"))


def find(text, option="architecture"):
    """Check that a file defines a function, without running it.

    text: "FILE.py:FUNCTION", of this option. Returns (the absolute path of the file, the settings of a run with this network:
    architecture, without the folder, and architecture_checksum). Raises UserError.
    """
    file, _, function = text.rpartition(":")
    path = Path(file or text)
    if not path.is_file():
        raise utils.UserError(f"--{option} {text}: {path}: {utils.missing(path)}; give FILE.py:FUNCTION")
    try:
        body = ast.parse(path.read_bytes()).body
    except (SyntaxError, ValueError) as error:
        raise utils.UserError(f"--{option} {text}: {path} is not Python ({str(error).splitlines()[0]})") from None
    functions = [each.name for each in body if isinstance(each, ast.FunctionDef)]
    others = [ast.unparse(target) for each in body if isinstance(each, ast.Assign) for target in each.targets]
    others += [name.asname or name.name for each in body if isinstance(each, ast.ImportFrom) for name in each.names]
    if function not in functions + others:
        raise utils.UserError(f"--{option} {text}: give FILE.py:FUNCTION; {path} defines "
                              f"{', '.join(functions) or 'no function'}")
    return str(path.absolute()), {"architecture": f"{path.name}:{function}", "architecture_checksum": _checksum(path)}


def load(file, architecture, checksum):
    """Run a file, unless this process has run it already, so that `build` finds its function.

    file: its path; architecture, checksum: the settings that `find` returned. Raises UserError if the file has changed
    since or its code fails.
    """
    if _loaded.get(architecture, [None])[0] == checksum:
        return
    if not Path(file).is_file() or _checksum(file) != checksum:
        raise utils.UserError(f"{file}: changed since the command started; rerun the same command")
    folder = Path(file).resolve().parent  # it may import modules beside it, whatever their names
    sys.path[:] = [str(folder), *(place for place in sys.path if Path(place).resolve() not in (folder, utils.PROJECT))]
    name = f"network_of_{Path(file).stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    _told(file, lambda: spec.loader.exec_module(module))
    _loaded[architecture] = checksum, module


def build(architecture, *arguments):
    """Call the function of a loaded file; UserError if it fails."""
    module, function = _loaded[architecture][1], architecture.rpartition(":")[2]
    return _told(module.__file__, lambda: getattr(module, function)(*arguments))


def classes(architecture):
    """Return {name: class} of the classes that a loaded file defines, which Keras needs to read a saved network."""
    module = _loaded[architecture][1]
    return {name: value for name, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == module.__name__}


def _told(file, call):
    """Return call(); turn any exception into one line with the line number in the user's file."""
    try:
        return call()
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        what = " ".join(str(error).split())[:300]
        raise utils.UserError(f"{file}{f', line {lines[-1]}' if lines else ''}: raises {type(error).__name__}"
                              f"{f': {what}' if what else ''}; fix it and rerun the same command") from None


def _checksum(file):
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
