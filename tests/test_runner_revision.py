"""What is said where the code has changed since a file was written, in a small repository of its own."""
import shutil
import subprocess
import sys

import pytest
from conftest import PROJECT


@pytest.fixture
def repository(tmp_path):
    """A checkout with what revision.py needs and a module; a function that runs git in it."""
    def git(*command):
        done = subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *command], cwd=tmp_path, text=True,
                              capture_output=True, check=True)
        return done.stdout.strip()

    for file in ("incv/__init__.py", "__init__.py", "utils.py", "runner/__init__.py", "runner/revision.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / file, tmp_path / file)
    (tmp_path / "runner" / "sweep.py").write_text("x = 1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    return tmp_path, git


def said(folder, written_by):
    program = ("import sys; sys.path.insert(0, '.'); from incv.runner import revision;"
               f"print(revision.difference({written_by!r}))")
    done = subprocess.run([sys.executable, "-I", "-B", "-c", program], cwd=folder, text=True, capture_output=True, check=True)
    return done.stdout.strip()


def test_a_change_of_the_code_is_said_and_of_pages_and_tests_is_not(repository):
    folder, git = repository
    first = git("rev-parse", "HEAD")
    assert said(folder, first) == said(folder, None) == ""
    (folder / "README.md").write_text("A page.\n")
    (folder / "tests").mkdir()
    (folder / "tests" / "test_noise.py").write_text("x = 1\n")
    git("add", ".")
    git("commit", "-qm", "no module")
    assert said(folder, first) == ""
    (folder / "runner" / "sweep.py").write_text("x = 2\n")
    expected = f"written by revision {first[:10]} of the code; changed since then: runner/sweep.py; it is still used"
    assert said(folder, first) == expected  # not committed yet
    git("commit", "-qam", "second")
    assert said(folder, first) == expected
    assert said(folder, f"{first}+changes") == expected.replace("by revision", "by uncommitted changes of revision")
    assert said(folder, f"{git('rev-parse', 'HEAD')}+changes").startswith("written by uncommitted changes of revision")
    assert "which this checkout does not have" in said(folder, "0" * 40)
    shutil.rmtree(folder / ".git")
    assert said(folder, first) == ""
