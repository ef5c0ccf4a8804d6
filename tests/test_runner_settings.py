"""A new option is a field of the settings, as CONTRIBUTING.md says, and reaches the JSON of a run."""
import json

import pytest
from conftest import SMALL_NETWORK, copy_of_the_project, run


@pytest.mark.slow
def test_an_option_of_incv_reaches_its_json_and_robust_training_runs(tmp_path):
    """As CONTRIBUTING.md says: a field of the settings, a default, an argument."""
    copy_of_the_project(tmp_path)
    for file, before, line in (
            ("runner/settings.py", "    names: tuple", "    warmth: int | None = None\n"),
            ("INCV.py", '    parser.add_argument("--export"',
             '    parser.add_argument("--warmth", type=options.number(int, 1))\n'),
            ("INCV.py", '"label_issues": False, ', '"warmth": 3, ')):
        source = (tmp_path / file).read_text()
        assert source.count(before) == 1, (file, before)
        (tmp_path / file).write_text(source.replace(before, line + before))
    small = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--subset", 100, "--iterations", 1, "--quiet"]
    for options, expected in (([], 3), (["--warmth", 5], 5)):
        done = run([*small, "--epochs", 1, *options], tmp_path, tmp_path / "INCV.py")
        assert done.code == 0 and done.err == "", done.err
        [file] = tmp_path.glob(f"results/digits/sym/0.5/INCV_seed0_*{'_warmth5' * bool(options)}.json")
        assert json.loads(file.read_text())["settings"]["warmth"] == expected
    done = run([*small, "--epochs", 1, "--incv_epochs", 1], tmp_path, tmp_path / "INCV_main.py")
    assert done.code == 0 and "reusing" in done.out, done.err
