"""What a path is: the dataset's name, what --inspect says of it, which option is missing."""
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, run, run_refused
from examples import ROWS, X6, Y6, I, folder_of_pictures, in_file, mixed_table

from incv.custom_data import load


def test_names_of_results_stay_in_their_folder(tmp_path):
    np.savez(tmp_path / "..x & y.npz", x=X6, y=Y6)
    assert load.facts(tmp_path / "..x & y.npz").name == "x_y"


def test_inspect_says_what_would_be_read(tmp_path, numbers):
    numbers.assign(id=[f"C{n:05d}" for n in range(ROWS)]).to_csv(tmp_path / "t.csv", index=False)
    result = run(["--dataset", "t.csv", "--label", "kind", "--inspect"], tmp_path, fresh=True)
    assert result.code == 0 and result.err == "" and result.seconds < 4 and not (tmp_path / "results").exists()
    lines = result.out.splitlines()
    assert lines[0].endswith("t.csv: 60 samples of 2 features") and lines[1] == "3 classes: 'cat' 20, 'dog' 20, 'eel' 20"
    assert lines[2:4] == ["column 'v0': numbers", "column 'v1': numbers"]
    assert lines[4].startswith("warning: ") and "column 'id' names each row: not used" in lines[4]
    folder_of_pictures(tmp_path)
    result = run(["--dataset", "p", "--inspect"], tmp_path, "INCV_main.py")
    assert "p: 6 samples of 8 × 8 × 3 pixels and channels" in result.out and "2 classes: 'a' 3, 'b' 3" in result.out
    assert "1500 training samples" in run(["--dataset", "digits", "--inspect"], tmp_path).out


def test_columns_that_are_treated_alike_share_a_line_where_there_are_many(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(ROWS, 120)), columns=[f"x{i}" for i in range(120)])
    table["x70"], table["x90"] = np.array(["red", "green"])[rng.integers(0, 2, ROWS)], 1.5
    table.loc[3, ["x7", "x8", "x110"]] = np.nan
    table.assign(kind=np.array(["cat", "dog"])[np.arange(ROWS) % 2]).to_csv(tmp_path / "t.csv", index=False)
    lines = run(["--dataset", "t.csv", "--label", "kind", "--inspect"], tmp_path).out.splitlines()
    assert lines[2:5] == [
        "115 columns, 'x0' … 'x6' (7 columns), 'x9' … 'x69' (61 columns), 'x71' … 'x109' (38 columns), 'x111' … 'x119' "
        "(9 columns): numbers", "3 columns, 'x7', 'x8', 'x110': numbers, with a feature that marks missing values",
        "column 'x70': categories"]
    assert "'x90' has a single value: not used" in lines[5] and all(line.startswith("warning: ") for line in lines[5:])


def test_columns_that_are_not_used_share_a_line_where_there_are_many(tmp_path):
    table = pd.DataFrame({f"x{i}": [1] * ROWS for i in range(60)} | {"v": [i * i % 17 for i in range(ROWS)]})
    table.assign(kind=np.array(["cat", "dog"])[np.arange(ROWS) % 2]).to_csv(tmp_path / "t.csv", index=False)
    warnings = load.load_dataset(tmp_path / "t.csv", "kind").warnings
    told, = (line for line in warnings if "x0" in line)
    assert "60 columns, 'x0', 'x1'" in told and told.endswith("and 48 more: each has a single value: not used")


def test_columns_of_labels_cannot_be_dropped(tmp_path):
    table, y = mixed_table(20)
    table.assign(kind=y, truth=y).to_csv(tmp_path / "t.csv", index=False)
    options = ["--dataset", "t.csv", "--label", "kind", "--true_label", "truth", "--inspect", "--drop"]
    run_refused([*options, "kind"], tmp_path, "--drop kind: this is the column of --label")
    run_refused([*options, "truth"], tmp_path, "--drop truth: this is the column of --true_label")


def test_inspect_does_not_wait_for_scikit_learn(tmp_path):
    cells = [f"{i},{i * i % 17 if i % 5 else ''},{['red', 'green', 'blue'][i * i % 3]},{'ab'[i % 2]}" for i in I]
    path = in_file(tmp_path, ["day,v,colour,kind", *cells])
    program = ("import runpy, sys; sys.modules['sklearn'] = sys.modules['keras'] = None;"
               f"sys.argv = ['INCV.py', '--dataset', {str(path)!r}, '--label', 'kind', '--inspect'];"
               f"runpy.run_path({str(PROJECT / 'INCV.py')!r}, run_name='__main__')")
    result = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == 0 and "60 samples of 4 features" in result.stdout, result.stdout + result.stderr


def test_a_table_whose_column_of_labels_is_not_named_or_not_there(tmp_path):
    table, y = mixed_table(20)
    table.assign(kind=y).to_csv(tmp_path / "t.csv", index=False)
    run_refused(["--dataset", "t.csv"], tmp_path, "--label COLUMN")
    run_refused(["--dataset", "t.csv", "--label", "sort"], tmp_path, "no column 'sort'", "length", "kind")


@pytest.mark.parametrize("options, words", [
    (["--features", "MobileNetV2"], "t has no images"), (["--labels", "l.npy"], "--labels and --label_set are for"),
    (["--noise_pattern", "human"], "the labels of custom datasets are used as they are")])
def test_inspect_refuses_options_as_a_run_does(tmp_path, options, words):
    (tmp_path / "t.csv").write_text("v,kind\n" + "".join(f"{n * n % 5},{n % 2}\n" for n in range(20)))
    run_refused(["--dataset", "t.csv", "--label", "kind", *options, "--inspect"], tmp_path, words)
