"""CONTRIBUTING.md: its noise pattern, network and loss are pasted into one file each, and everything else follows."""
import json
import re
import shlex
import shutil

import pandas as pd
import pytest
from conftest import PROJECT, SMALL_NETWORK, run

from incv import noise

# Before which line of which file the page says that each of its blocks belongs, in the order of the page.
PLACES = [("noise.py", '    "human": Pattern'), ("registry.py", '"dense": "table"'), ("models.py", "def forward("),
          ("registry.py", "}\n"), ("methods.py", "def make(")]
PAGE = (PROJECT / "CONTRIBUTING.md").read_text()


@pytest.fixture
def extended(tmp_path):
    """A copy of the project that has one more of each."""
    for file in [*PROJECT.glob("*.py"), PROJECT / "pyproject.toml"]:
        shutil.copy(file, tmp_path)
    for room in ("incv", "custom_data", "runner", "reporting", "checking"):
        shutil.copytree(PROJECT / room, tmp_path / room)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == len(PLACES)
    for block, (name, before) in zip(blocks, PLACES, strict=True):
        source = (tmp_path / name).read_text()
        assert source.count(before) == 1 or before == "}\n", before
        block = block.strip() + " " if "two_layers" in block and "def" not in block else block
        start, end = source.rsplit(before, 1)
        (tmp_path / name).write_text(start + block + ("\n\n" if "def" in block else "") + before + end)
    return tmp_path


@pytest.mark.slow
def test_an_option_of_incv_reaches_its_json_and_robust_training_runs(extended):
    """As CONTRIBUTING.md says: a field of the settings, a default, an argument."""
    for file, before, line in (
            ("runner/settings.py", "    names: tuple", "    warmth: int | None = None\n"),
            ("INCV.py", '    parser.add_argument("--export"',
             '    parser.add_argument("--warmth", type=options.number(int, 1))\n'),
            ("INCV.py", '"label_issues": False}', '"warmth": 3, ')):
        source = (extended / file).read_text()
        assert source.count(before) == 1, (file, before)
        (extended / file).write_text(source.replace(before, line + before))
    small = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--subset", 100, "--iterations", 1, "--quiet"]
    for options, expected in (([], 3), (["--warmth", 5], 5)):
        done = run([*small, "--epochs", 1, *options], extended, extended / "INCV.py")
        assert done.code == 0 and done.err == "", done.err
        [file] = extended.glob(f"results/digits/sym/0.5/INCV_seed0_*{'_warmth5' * bool(options)}.json")
        assert json.loads(file.read_text())["settings"]["warmth"] == expected
    done = run([*small, "--epochs", 1, "--incv_epochs", 1], extended, extended / "INCV_main.py")
    assert done.code == 0 and "reusing" in done.out, done.err


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
