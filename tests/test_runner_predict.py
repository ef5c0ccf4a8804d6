"""--predict: other samples by the saved networks, on the same scale, from other files, and no file mixed up."""
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import FOLDER, one_line, run
from examples import N, list_written

from incv import INCV_main, utils
from incv.runner import files, predict


@pytest.mark.slow
def test_robust_training_predicts_other_pictures(pictures):
    folder, table = pictures
    list_written(pd.concat([table] * 2), folder / "train.csv")
    command = ["--dataset", "train.csv", "--label", "kind", "--images", "all", "--epochs", 1, "--architecture", "resnet8",
               "--method", "standard", "--quiet"]
    result = run(command, folder, "INCV_main.py")
    assert result.code == 0, result.err
    predicted = run([*command, "--predict", "all"], folder, "INCV_main.py")
    assert predicted.code == 0, predicted.err
    of_folder = pd.read_csv(next(folder.glob("results/train/given/*predictions_all.csv"))).set_index("file")
    assert len(of_folder) == N
    # Another list, in any order and without labels.
    other = table.drop(columns="kind").iloc[[5, 2, 9]]
    list_written(other, folder / "other.csv")
    predicted = run([*command, "--predict", "other.csv"], folder, "INCV_main.py")
    assert predicted.code == 0, predicted.err
    of_list = pd.read_csv(next(folder.glob("results/train/given/*predictions_other.csv")))
    assert of_list["file"].tolist() == other.iloc[:, 0].tolist()
    by_stem = {Path(name).stem: label for name, label in of_folder["label"].items()}
    assert of_list["label"].tolist() == [by_stem[Path(name).stem] for name in of_list["file"]]
    # Lines have no header: the first one is a picture too.
    (folder / "lines.txt").write_text("".join(f"{name}\tlit\n" for name in other.iloc[:, 0]))
    predicted = run([*command, "--predict", "lines.txt"], folder, "INCV_main.py")
    assert predicted.code == 0, predicted.err
    assert pd.read_csv(next(folder.glob("results/train/given/*predictions_lines.csv"))).equals(of_list)
    list_written(pd.concat([other, other.head(1).replace(regex={".*": "gone.png"})]), folder / "more.csv")
    refused_ = run([*command, "--predict", "more.csv"], folder, "INCV_main.py")
    assert refused_.code == 2 and refused_.err.count("\n") == 1 and "1 of 4 pictures are missing" in refused_.err


@pytest.mark.slow
def test_predictions_of_another_scale_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 8, 8)).astype(np.float32), np.arange(40) % 2
    np.savez(tmp_path / "d.npz", x=x, y=y)
    np.savez(tmp_path / "new.npz", x=255 * x)
    arguments = ["--dataset", "d.npz", "--method", "standard", "--epochs", 1, "--architecture", "resnet8", "--quiet"]
    assert run(arguments, tmp_path, "INCV_main.py").code == 0
    result = run([*arguments, "--predict", "new.npz"], tmp_path, "INCV_main.py")
    assert result.code == 2 and result.err.count("\n") == 1 and "use the same scale" in result.err, result.err
    np.savez(tmp_path / "new.npz", x=x[:3])
    assert run([*arguments, "--predict", "new.npz"], tmp_path, "INCV_main.py").code == 0


def test_predictions_of_two_files_of_the_same_name(tmp_path, monkeypatch):
    asked = ["--dataset", "digits", "--results_dir", tmp_path, "--predict", tmp_path / "new.npz"]
    monkeypatch.setattr(sys, "argv", ["INCV_main.py", *map(str, asked)])
    with monkeypatch.context() as only_the_plan:
        only_the_plan.setattr(INCV_main.predict, "write_predictions", lambda file, plan: plan)
        plan = INCV_main.main()
    path = plan.path
    path.parent.mkdir(parents=True)
    for ending in ("_network1.keras", "_network2.keras", ".csv"):
        files.beside(path, ending).touch()
    files.write_json(path, {"settings": plan.settings})
    files.beside(path, "_predictions_new.csv").touch()
    files.beside(path, "_predictions_new.csv.from").write_text("/elsewhere/new.npz")
    np.savez(tmp_path / "new.npz", x=np.zeros((2, 8, 8)))
    with pytest.raises(utils.UserError, match="holds the predictions of /elsewhere/new.npz"):
        predict.write_predictions(tmp_path / "new.npz", plan)


def test_networks_of_a_damaged_run_are_not_predicted_with(tmp_path):
    settings = ["--dataset", "digits", "--method", "standard", "--predict", "new.npz"]
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    np.savez(tmp_path / "new.npz", x=np.zeros((2, 8, 8)))
    (folder / "INCV_main_seed0_standard_network1.keras").write_text("no network")
    for ending in ("csv", "json"):
        (folder / f"INCV_main_seed0_standard.{ending}").write_text('{"settings": {}, "checksums": {}}')
    one_line(run(settings, tmp_path, "INCV_main.py"), "other settings")
