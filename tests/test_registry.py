"""What registry.py offers by name: on the command line, and with what CONTRIBUTING.md adds to it in one file each."""
import json
import re
import shlex

import pandas as pd
import pytest
from conftest import PROJECT, SMALL_NETWORK, blocks, copy_of_the_project, run

from incv import INCV, noise, registry
from incv.runner import options


def test_command_line_offers_every_architecture():
    def choices(own):
        parser = options.parser("", INCV.DEFAULTS, own)
        return next(action.help for action in parser._actions if action.dest == "architecture").split(", or ")[0].split(", ")

    assert choices(True) == list(registry.ARCHITECTURES) and "dense" not in choices(False)


# Before which line of which file the page says that each of its blocks belongs, in the order of the page.
PLACES = [("noise.py", '    "human": Pattern'), ("registry.py", '"dense": "table"'), ("models.py", "def forward("),
          ("registry.py", "}\n"), ("methods.py", "# --- losses")]
PAGE = (PROJECT / "CONTRIBUTING.md").read_text()


@pytest.fixture
def extended(tmp_path):
    """A copy of the project that has one more of each."""
    copy_of_the_project(tmp_path)
    of_page = blocks("CONTRIBUTING.md")
    assert len(of_page) == len(PLACES)
    for block, (name, before) in zip(of_page, PLACES, strict=True):
        source = (tmp_path / name).read_text()
        assert source.count(before) == 1 or before == "}\n", before
        block = block.strip() + " " if "two_layers" in block and "def" not in block else block
        start, end = source.rsplit(before, 1)
        (tmp_path / name).write_text(start + block + ("\n\n" if "def" in block else "") + before + end)
    return tmp_path


@pytest.mark.slow
def test_each_is_entered_in_one_file(extended):
    def carried_out(script, *arguments):
        done = run(arguments, extended, extended / script)
        assert done.code == 0 and done.err == "", done.err
        return done.out

    shown = " ".join(carried_out("INCV_main.py", "--help").split())
    assert all(name in shown for name in ("smoothing", "two_layers", "next_two: to the next two classes"))
    # The page's commands, the three that follow its blocks, with fewer samples.
    commands = [command for command in re.findall(r"^python (\S+\.py .*)$", PAGE, flags=re.MULTILINE) if "digits" in command]
    assert len(commands) == 3
    for command in commands:
        own = [] if "--architecture" in command else ["--architecture", SMALL_NETWORK]
        carried_out(*shlex.split(command), *own, "--subset", 300, "--quiet")
    table = pd.read_csv(extended / "results" / "table.csv")
    assert set(zip(table["noise"], table["method"], strict=True)) == {("sym 0.5", "standard"), ("sym 0.5", "smoothing")}
    assert list((extended / "results/digits").glob("INCV_main_methods_*.png"))
    assert list((extended / "results/digits/sym/0.5").glob("INCV_seed0_two_layers*.csv"))
    # Labels drawn from the matrix of the new pattern, and the theory that follows from it.
    [file] = extended.glob("results/digits/next_two/0.4/Verify_Theory_seed0_*300.csv")
    y, y_noisy = pd.read_csv(file)[["y", "y_noisy"]].to_numpy().T
    assert set((y_noisy - y) % 10) == {0, 1, 2}
    [file] = extended.glob("results/digits/next_two/0.4/Verify_Theory_seed0_*.json")
    theory = json.loads(file.read_text())["theory"]
    assert theory["accuracy"] == pytest.approx(.6 ** 2 + .4 ** 2 / 2)
    assert "next_two" not in noise.PATTERNS
