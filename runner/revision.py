"""The version and revision of the code that carries out a run, compared with the one that wrote a file."""
import functools
import subprocess
import tomllib
from importlib import metadata

from incv import utils


def version():
    """Return the version of the project, from pyproject.toml or the installed package."""
    file = utils.PROJECT / "pyproject.toml"
    return tomllib.loads(file.read_text())["project"]["version"] if file.exists() else metadata.version("incv")


def _git(*command):
    return subprocess.run(["git", "-C", str(utils.PROJECT), *command], capture_output=True, text=True)


@functools.cache
def code_revision():
    """Return the commit of this code, with "+changes" if a Python file differs from it; None outside a git checkout.

    It is read once, when a process starts its work; later commits do not affect it.
    """
    try:
        revision, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", "*.py")
    except OSError:
        return None
    if revision.returncode != 0 or not (utils.PROJECT / ".git").exists():
        return None
    return revision.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


@functools.cache
def difference(written_by):
    """Return a line that lists the modules that differ from another revision; "" if none do, or nothing is known.

    written_by: the other `code_revision`. Tests and benchmarks are ignored.
    """
    if not written_by or code_revision() in (None, written_by):
        return ""
    commit = written_by.removesuffix("+changes")
    changed = _git("diff", "--name-only", commit, "--", "*.py", ":!tests", ":!benchmarks")
    if changed.returncode != 0:
        return f"written by revision {commit[:10]} of the code, which this checkout does not have; it is still used"
    modules = changed.stdout.split()
    unknown = "uncommitted changes of " if written_by != commit else ""
    if not modules and not unknown:
        return ""
    which = f"changed since then: {', '.join(modules[:6])}{' ...' * (len(modules) > 6)}; " if modules else ""
    return f"written by {unknown}revision {commit[:10]} of the code; {which}it is still used"
