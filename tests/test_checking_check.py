"""What follows Algorithm 1 in a run: the last passes, the list, the verdict, and what a person decides about them."""
import json

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL_NETWORK, run, start

from incv.checking import last_pass
from incv.custom_data import decisions
from incv.runner import files


def test_every_label_is_predicted_and_judged(wine_run):
    folder, truth, result = wine_run
    base = folder / "results/wine/given/INCV_seed0_epochs40"
    every = pd.read_csv(f"{base}_out_of_fold.csv")
    listed = pd.read_csv(f"{base}_label_issues.csv")
    assert len(every) == 180 and every["p_given"].notna().all()
    assert len(listed) == every["issue"].sum()
    assert listed["margin"].is_monotonic_decreasing and listed["decision"].isna().all()
    wrong = truth != every["given"]
    assert wrong[every["issue"]].mean() > 0.7 and every["issue"][wrong].mean() > 0.8
    found = json.loads(base.with_name(f"{base.name}.json").read_text())
    judged = found["verdict"]
    assert 0 < judged["least_margin"] <= last_pass.MARGIN and every["margin"][every["issue"]].min() > judged["least_margin"]
    assert judged["outcome"] == "use" and judged["wrong_low"] <= wrong.sum() <= judged["wrong_high"]
    assert judged["issues"] == judged["top"] == found["label_issues"] == len(listed)
    lines = result.out.splitlines()
    assert lines.index(f"verdict: {judged['sentence']}") == lines.index(f"{len(listed)} label issues") - 1
    page = base.with_name(f"{base.name}_report.html").read_text()
    assert page.index("can be used") < page.index("label issues, worst first".capitalize())
    trainings = pd.read_csv(f"{base}_history.csv").groupby(["iteration", "half"]).size()
    assert trainings.index.tolist() == [(i, part) for i in range(1, 6) for part in range(1, 5 if i == 5 else 3)]
    assert (trainings == 40).all()


def test_copies_with_different_labels_are_a_table_of_the_report(wine_run):
    page = (wine_run[0] / "results/wine/given/INCV_seed0_epochs40_report.html").read_text()
    section = page[page.index('id="copies"'):]
    section = section[:section.index("</section>")]
    assert "4 samples have an exact copy" in section and section.count("<tr>") == 5
    assert all(f"<td>{sample}</td>" in section for sample in (3, 4, 178, 179))


@pytest.mark.slow
def test_decisions_are_applied_to_the_next_run_and_its_export(wine_run):
    folder, truth, _ = wine_run
    name = "results/wine/given/INCV_seed0_epochs40"
    listed = pd.read_csv(folder / f"{name}_label_issues.csv", dtype=str, keep_default_na=False)
    kept, dropped, changed = listed["sample"][:3]
    new = next(each for each in ("red", "rose", "white") if each != listed["given"][2])
    listed.loc[[0, 1, 2], "decision"] = ["keep", " drop ", new]
    listed.to_csv(folder / "mine.csv", index=False, sep=";", encoding="utf-16")  # as a spreadsheet may save it
    command = ["--dataset", "wine.csv", "--label", "kind", "--epochs", 40, "--quiet", "--decisions", "mine.csv"]
    result = run([*command, "--export", "clean.csv"], folder)
    assert result.code == 0 and result.err == "", result.err
    assert "warning: " in result.out and "1 label changed, 1 confirmed, 1 sample not used" in result.out
    digest = decisions.checksum([folder / "mine.csv"])
    base = folder / f"{name}_decisions_{digest[:6]}"
    assert json.loads(base.with_name(f"{base.name}.json").read_text())["settings"]["decisions"] == digest
    every = pd.read_csv(f"{base}_out_of_fold.csv", dtype=str).set_index("sample")
    before = pd.read_csv(folder / f"{name}_out_of_fold.csv", dtype=str).set_index("sample")
    assert every["status"][kept] == every["status"][changed] == "selected" and dropped not in every.index
    assert every["issue"][kept] == every["issue"][changed] == "False"
    assert every["given"][changed] == new
    others = every.index.difference([changed])
    assert (every["given"][others] == before["given"][others]).all()

    written, exported = (pd.read_csv(folder / file, dtype=str) for file in ("wine.csv", "clean.csv"))
    selected = every.index[every["status"] == "selected"].astype(int)
    expected = written.iloc[selected].reset_index(drop=True)
    expected.loc[list(selected).index(int(changed)), "kind"] = new
    pd.testing.assert_frame_equal(exported, expected)
    again = run(command, folder)
    assert again.code == 0 and again.out.splitlines()[-1].startswith("finished already"), again.err

    for change, words in (({"sample": "9999", "row_id": ""}, "sample '9999' is not in the dataset"),
                          ({"decision": "purple"}, "'purple' is not a decision: write keep, drop or a class, one of 'red'"),
                          ({"given": new, "row_id": ""}, f"'{new}' in the list")):
        listed.loc[:2].tail(1).assign(**change).to_csv(folder / "bad.csv", index=False)
        refused = run([*command[:-1], "bad.csv"], folder)
        assert refused.code == 2 and refused.err.count("\n") == 1 and words in refused.err, refused.err
    own = run([*command[:-1], f"{base}_label_issues.csv", "mine.csv", "--overwrite"], folder)
    assert own.code == 0 or "rename it first" in own.err  # another name, unless nothing was decided in it


def test_killed_in_a_last_pass_it_ends_with_the_same_bytes(tmp_path):
    y = np.arange(90) % 3
    x = np.random.default_rng(0).normal(size=(90, 4)) + y[:, None]
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "a.npz", x=x, y=y)
    command = ["--dataset", "a.npz", "--epochs", 6, "--iterations", 1]
    whole = run(command, tmp_path / "whole")
    left = [line for line in whole.out.splitlines() if " epoch " in line]
    assert whole.code == 0 and len(left) == 10 * 6 and left[-1].startswith("last pass 3/3 fold 4/4 epoch 6/6"), whole.err
    for shown, said in (("last pass 2/3 half 1/2 epoch 3/6", ""),
                        ("last pass 3/3 fold 3/4 epoch 3/6", "resuming at last pass 2, half 1, epoch")):
        process, lines = start(command, tmp_path / "broken"), []
        assert any(lines.append(line) or shown in line for line in process.stdout) and said in "".join(lines), lines
        process.kill()
        process.communicate()
    again = run(command, tmp_path / "broken")
    assert again.code == 0 and "resuming at last pass 3, fold 3, epoch" in again.out, again.out + again.err
    whole, broken = ({path.name: path.read_bytes() for path in (tmp_path / name / "results").rglob("*.csv")}
                     for name in ("whole", "broken"))
    assert whole == broken and len(whole) == 4


def test_label_issues_of_a_published_dataset_leave_its_selection_as_it_is(tmp_path):
    command = ["--dataset", "digits", "--subset", 200, "--architecture", SMALL_NETWORK, "--epochs", 2, "--iterations", 1]
    plain = run([*command, "--quiet"], tmp_path)
    assert plain.code == 0 and "verdict" not in plain.out, plain.err
    asked = run([*command, "--quiet", "--label_issues"], tmp_path)
    assert asked.code == 0 and "\nverdict: " in asked.out, asked.err
    [plain] = tmp_path.rglob("*subset200.csv")
    [with_pass] = tmp_path.rglob("*_with_label_issues.csv")
    assert plain.read_bytes() == with_pass.read_bytes()
    paths = [file.with_suffix("") for file in (plain, with_pass)]
    assert not set(files.files_of(paths[0])) & set(files.files_of(paths[1]))  # neither writes a file of the other
    every = pd.read_csv(with_pass.with_name(with_pass.stem + "_out_of_fold.csv"))
    assert every["margin"].notna().all() and json.loads(with_pass.with_suffix(".json").read_text())["verdict"]["outcome"]


def test_networks_that_learn_nothing_are_said(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "nothing.npz", x=rng.normal(size=(300, 20)), y=rng.integers(0, 5, 300))
    result = run(["--dataset", "nothing.npz", "--iterations", 1, "--epochs", 12, "--quiet"], tmp_path)
    assert result.code == 0 and "verdict: nothing follows from this list: networks predict" in result.out, result.err
    page = (tmp_path / "results/nothing/given/INCV_seed0_epochs12_iterations1_report.html").read_text()
    assert "Nothing follows from this list" in page and "describes your data" not in page
