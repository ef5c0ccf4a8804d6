"""Label issues by the commands: the last pass, the verdict, a person's decisions, copies, enough steps."""
import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL_NETWORK, run, start
from sklearn.datasets import load_wine, make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from incv import data, noise, utils
from incv.checking import last_pass, verdict
from incv.custom_data import decisions, load
from incv.custom_data.source import Facts, Source
from incv.label_issues import NoisyLabelClassifier, find_label_issues
from incv.runner import files, planning

NAMES = np.array(["red", "rose", "white"])


@pytest.fixture(scope="module")
def wine(tmp_path_factory):
    """A folder with wine.csv, 30 of whose 178 labels are wrong, and two copies of rows with another label; a finished run."""
    folder = tmp_path_factory.mktemp("wine")
    known, generator = load_wine(as_frame=True), np.random.default_rng(0)
    wrong = generator.choice(178, 30, replace=False)
    labels = known.target.to_numpy().copy()
    labels[wrong] = (labels[wrong] + generator.integers(1, 3, 30)) % 3
    table = known.data.assign(kind=NAMES[labels])
    copies = table.iloc[[3, 4]].assign(kind=NAMES[(labels[[3, 4]] + 1) % 3])
    pd.concat([table, copies]).to_csv(folder / "wine.csv", index=False)
    truth = NAMES[np.r_[known.target, known.target[[3, 4]]]]
    result = run(["--dataset", "wine.csv", "--label", "kind", "--epochs", 40, "--quiet"], folder)
    assert result.code == 0 and result.err == "", result.err
    return folder, truth, result


def test_every_label_is_predicted_and_judged(wine):
    folder, truth, result = wine
    base = folder / "results/wine/given/INCV_seed0_epochs40"
    every = pd.read_csv(f"{base}_out_of_fold.csv")
    listed = pd.read_csv(f"{base}_label_issues.csv")
    assert len(every) == 180 and every["p_given"].notna().all()
    assert (every["margin"][every["issue"]] > last_pass.MARGIN).all() and len(listed) == every["issue"].sum()
    assert listed["margin"].is_monotonic_decreasing and listed["decision"].isna().all()
    wrong = truth != every["given"]
    assert wrong[every["issue"]].mean() > 0.7 and every["issue"][wrong].mean() > 0.8
    found = json.loads(base.with_name(f"{base.name}.json").read_text())
    judged = found["verdict"]
    assert judged["outcome"] == "use" and judged["wrong_low"] <= wrong.sum() <= judged["wrong_high"]
    assert judged["issues"] == judged["top"] == found["label_issues"] == len(listed)
    lines = result.out.splitlines()
    assert lines.index(f"verdict: {judged['sentence']}") == lines.index(f"{len(listed)} label issues") - 1
    page = base.with_name(f"{base.name}_report.html").read_text()
    assert page.index("can be used") < page.index("label issues, worst first".capitalize())
    assert pd.read_csv(f"{base}_history.csv")["iteration"].unique().tolist() == [1, 2, 3, 4]


def test_copies_with_different_labels_are_a_table_of_the_report(wine):
    page = (wine[0] / "results/wine/given/INCV_seed0_epochs40_report.html").read_text()
    section = page[page.index('id="copies"'):]
    section = section[:section.index("</section>")]
    assert "4 samples have an exact copy" in section and section.count("<tr>") == 5
    assert all(f"<td>{sample}</td>" in section for sample in (3, 4, 178, 179))


def test_decisions_are_applied_to_the_next_run_and_its_export(wine):
    folder, truth, _ = wine
    name = "results/wine/given/INCV_seed0_epochs40"
    listed = pd.read_csv(folder / f"{name}_label_issues.csv", dtype=str, keep_default_na=False)
    kept, dropped, changed = listed["sample"][:3]
    new = next(each for each in NAMES if each != listed["given"][2])
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

    for change, words in (({"sample": "9999"}, "sample '9999' is not in the dataset"),
                          ({"decision": "purple"}, "'purple' is not a decision: write keep, drop or a class, one of 'red'"),
                          ({"given": new}, f"'{new}' in the list")):
        listed.loc[:2].tail(1).assign(**change).to_csv(folder / "bad.csv", index=False)
        refused = run([*command[:-1], "bad.csv"], folder)
        assert refused.code == 2 and refused.err.count("\n") == 1 and words in refused.err, refused.err
    own = run([*command[:-1], f"{base}_label_issues.csv", "mine.csv", "--overwrite"], folder)
    assert own.code == 0 or "rename it first" in own.err  # another name, unless nothing was decided in it


def test_a_list_of_its_former_name_is_read(tmp_path):
    """_suspects.csv, with the run's JSON beside it."""
    file = tmp_path / "INCV_seed0_suspects.csv"
    file.write_text("sample,given,suggested,p_given,p_suggested,status,margin,decision\n3,1,0,.1,.9,candidate,2,keep\n")
    file.with_name("INCV_seed0.json").write_text('{"settings": {"dataset_checksum": "of other data"}}')
    assert decisions.read([file]) == [("sample", "3", "1", "keep", "")]
    assert decisions.of_other_data([file], "of these data") == [file]


def test_edited_lists_survive_overwrite(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(40, 3)), y=np.arange(40) % 2)
    quick = ["--dataset", "a.npz", "--epochs", 1, "--iterations", 1, "--quiet", "--overwrite"]
    assert run(quick, tmp_path).code == 0
    listed = tmp_path / "results/a/given/INCV_seed0_epochs1_iterations1_label_issues.csv"
    mine = "sample,given,decision\n3,1,keep\n"
    listed.write_text(mine)
    result = run(quick, tmp_path)
    kept = listed.with_name("INCV_seed0_epochs1_iterations1_label_issues_decided1.csv")
    assert result.code == 0 and kept.read_text() == mine and f"{kept.name}: your decisions are kept" in result.out
    listed.write_text(mine.replace("keep", ""))
    assert run(quick, tmp_path).code == 0 and listed.read_text().startswith("sample,given,suggested")


def test_a_list_of_a_second_round_without_the_first_is_told(tmp_path):
    """Its decisions alone would lose those of the first round."""
    first = tmp_path / "INCV_seed0_label_issues.csv"
    pd.DataFrame({"sample": [0, 1], "given": ["a", "b"], "decision": ["keep", "drop"]}).to_csv(first, index=False)
    second = tmp_path / f"INCV_seed0_decisions_{decisions.checksum([first])[:6]}_label_issues.csv"
    pd.DataFrame({"sample": [2], "given": ["a"], "decision": ["b"]}).to_csv(second, index=False)
    assert decisions.without_earlier([first]) == decisions.without_earlier([first, second]) == []
    assert decisions.without_earlier([second]) == [second]
    np.savez(tmp_path / "d.npz", x=np.arange(24.0).reshape(12, 2) % 7, y=np.array(["a", "b"] * 6))
    for lists, lost in (([second], 1), ([first, second], 0)):
        told = load.load_dataset(tmp_path / "d.npz", decisions=[str(file) for file in lists]).warnings
        assert sum("are not applied: give all lists" in line for line in told) == lost


@pytest.mark.parametrize("kind, dtype", [("y", np.int8), ("labels", "<U1"), ("y", bool)])
def test_decisions_keep_the_arrays_own_type(tmp_path, kind, dtype):
    from incv.checking import export

    y = (np.arange(20) % 2).astype(dtype)
    np.savez(tmp_path / "a.npz", x=np.eye(20), **{kind: y[:, None]})
    names = [str(name) for name in np.unique(y)]
    (tmp_path / "d.csv").write_text(f"sample,given,decision\n4,{names[0]},{names[1]}\n7,{names[1]},drop\n")
    source = Source(path=str(tmp_path / "a.npz"), decisions=[str(tmp_path / "d.csv")])
    dataset = load.load_dataset(source)
    assert len(dataset.given) == 19 and dataset.given[4] == 1 and dataset.trusted.sum() == 1 and 7 not in dataset.names
    assert load.facts(source).size == 19
    changed = export.corrected(y[:, None], dataset.names, planning.Plan(
        settings=None, path=None, source=source, results_dir=None))
    assert changed.dtype == y.dtype and changed.ravel().tolist() == [
        y[1] if number == 4 else y[number] for number in range(20) if number != 7]


def test_a_class_that_is_called_drop_is_not_guessed(tmp_path):
    (tmp_path / "d.csv").write_text("sample,given,decision\n1,drop,drop\n")
    with pytest.raises(data.DataError, match="'drop' is also the name of a class: rename the class"):
        decisions.decide([tmp_path / "d.csv"], np.arange(3), [0, 1, 1], np.array(["drag", "drop"]))


def test_killed_in_a_last_pass_it_ends_with_the_same_bytes(tmp_path):
    y = np.arange(90) % 3
    x = np.random.default_rng(0).normal(size=(90, 4)) + y[:, None]
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "a.npz", x=x, y=y)
    command = ["--dataset", "a.npz", "--epochs", 6, "--iterations", 1]
    assert run([*command, "--quiet"], tmp_path / "whole").code == 0
    process = start(command, tmp_path / "broken")
    assert any("last pass 2/2 half 1/2 epoch 3/6" in line for line in process.stdout)
    process.kill()
    process.communicate()
    again = run(command, tmp_path / "broken")
    assert again.code == 0 and "resuming at last pass 2, half 1, epoch" in again.out, again.out + again.err
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


# --- the verdict ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("model", [LogisticRegression(max_iter=500), RandomForestClassifier(30, random_state=0)])
def test_nothing_follows_from_random_features(model):
    for seed, (n, classes) in enumerate([(800, 5), (300, 2), (200, 3)]):
        generator = np.random.default_rng(seed)
        found = find_label_issues(generator.normal(size=(n, 20)), generator.integers(classes, size=n), model).attrs["verdict"]
        assert found["outcome"] == "nothing" and found["top"] == 0 and found["wrong"] is None
        assert found["sentence"].startswith("nothing follows") and abs(found["agreement"] - found["permuted"]) < 0.15


def test_in_doubt_all_is_repeated_with_permuted_labels():
    """A run in which the passes are as sure of permuted labels as of the given ones ends it."""
    y, issue = np.arange(20) % 2, np.zeros(20, dtype=bool)
    chance, slightly = np.full((20, 2), 0.5), 0.5 + np.outer(np.where(y == 0, 0.01, -0.01), [1, -1])
    slightly[:8] = slightly[:8, ::-1]
    sure = np.where(np.eye(2)[y] == 1, 0.9, 0.1)

    def judge(first, *of_runs, runs=3):
        called = iter(of_runs)
        return verdict.verdict(y, first, sure[None], issue, again=lambda number: (y, next(called)[None]), runs=runs)

    unsure, found = np.where(sure > 0.5, 0.6, 0.4), judge(slightly, *[np.where(sure > 0.5, 0.6, 0.4)] * 3)
    assert (found["outcome"], found["runs"]) == ("use", 3) and "in all 3 runs with permuted labels" in found["sentence"]
    assert judge(slightly, unsure, sure)["runs"] == 2 and judge(slightly, unsure, sure)["outcome"] == "nothing"
    assert judge(slightly, runs=0)["outcome"] == judge(1 - slightly)["outcome"] == "nothing"  # worse than chance: not asked
    assert judge(chance)["runs"] == judge(sure)["runs"] == 0


def test_few_samples_with_many_wrong_labels_can_be_checked():
    generator = np.random.default_rng(3)
    true = generator.integers(2, size=150)
    x = generator.normal(size=(150, 5)) + 1.2 * true[:, None]
    given = np.where(generator.random(150) < 0.38, 1 - true, true)
    once, found = (find_label_issues(x, given, GaussianNB(), permutations=number) for number in (0, None))
    assert once.attrs["verdict"]["outcome"] == "nothing" and once.equals(found)
    issue, judged = found["issue"].to_numpy(), found.attrs["verdict"]
    assert judged["outcome"] == "use" and judged["runs"] == 99 and (given != true)[issue].mean() > 0.8
    with pytest.raises(ValueError, match="permutations=-1"):
        find_label_issues(x, given, GaussianNB(), permutations=-1)


def test_the_number_of_wrong_labels_is_fitted():
    """Labels drawn from known probabilities, a quarter of them then made wrong: the interval holds the number."""
    generator = np.random.default_rng(0)
    p = generator.dirichlet(np.full(5, 0.1), 2000)
    true = (p.cumsum(axis=1) > generator.random((2000, 1))).argmax(axis=1)
    given = noise.flip_labels(true, noise.transition_matrix("sym", 0.25, 5), generator)
    overconfident = p ** 3 / (p ** 3).sum(axis=1, keepdims=True)
    for shown in (p, overconfident):
        fitted = verdict.fit(given, shown)
        assert fitted.low <= (given != true).mean() <= fitted.high and fitted.high - fitted.low < 0.12
    assert abs(verdict.largest_noise_ratio(given, p) - (given != true).mean()) < 0.06
    issue = last_pass.issues(given, p, verdict.largest_noise_ratio(given, p))
    found = verdict.verdict(given, p, p[None], issue)
    assert found["outcome"] == "use" and found["expected_precision"] <= (given != true)[issue].mean() + 0.05
    p[:3], p[:3][[0, 1, 2], given[:3]] = 0, 1
    unpredicted = np.r_[np.full((3, 5), np.nan), p[3:]]  # labels that a person confirmed, in a run without last pass
    assert verdict.verdict(given, p, unpredicted[None], issue) == verdict.verdict(given, p, p[None], issue)


def test_only_the_top_can_be_used():
    """A model that is right for three of five samples: its list begins with wrong labels, errors of its own follow."""
    generator = np.random.default_rng(0)
    p = generator.dirichlet(np.full(4, 0.5), 3000)
    true = (p.cumsum(axis=1) > generator.random((3000, 1))).argmax(axis=1)
    given = noise.flip_labels(true, noise.transition_matrix("sym", 0.2, 4), generator)
    issue = last_pass.issues(given, p, 1)
    found = verdict.verdict(given, p, p[None], issue)
    listed = np.argsort(-last_pass.margins(given, p), kind="stable")
    assert found["outcome"] == "top" and 0 < found["top"] < issue.sum()
    assert (given != true)[listed[:found["top"]]].mean() > 0.5 and f"first {found['top']} of" in found["sentence"]
    assert f"right about at most {found['right']:.0%} of all" in found["sentence"]
    assert (given != true)[issue].mean() < 0.5 and found["wrong_low"] < (given != true).sum() < found["wrong_high"]


def test_what_a_model_cannot_learn_is_not_taken_for_wrong_labels():
    """Logistic regression on classes that lines hardly separate: most disagreement is its own error."""
    x, true = make_classification(2000, 20, n_informative=12, n_redundant=0, n_classes=5, n_clusters_per_class=2,
                                  class_sep=0.7, flip_y=0, random_state=7)
    given = noise.flip_labels(true, noise.transition_matrix("sym", 0.1, 5), np.random.default_rng(0))
    table = find_label_issues(x, given, LogisticRegression(max_iter=500))
    found, issue = table.attrs["verdict"], table["issue"].to_numpy()
    assert (given != true)[issue].mean() < 0.3 and found["agreement"] > found["permuted"] + 0.1
    assert issue.sum() < 0.95 * (table["margin"] > last_pass.MARGIN).sum()  # no more than labels that can be wrong
    assert found["outcome"] != "use" and found["top"] < 0.3 * issue.sum() and found["right"] < 0.8


def test_how_often_networks_are_right_is_fitted():
    """Probabilities of networks that are right about half of the time, and a fifth of the labels wrong."""
    generator = np.random.default_rng(0)
    p = generator.dirichlet(np.full(10, 0.25), 5000)
    true = (p.cumsum(axis=1) > generator.random((5000, 1))).argmax(axis=1)
    given = noise.flip_labels(true, noise.transition_matrix("sym", 0.2, 10), generator)
    for shown in (p, p ** 2 / (p ** 2).sum(axis=1, keepdims=True)):
        fitted, right = verdict.fit_agreement(given, shown)
        assert fitted.low <= (given != true).mean() <= fitted.high < 0.35
        assert (shown.argmax(axis=1) == true).mean() <= right < 0.7
        assert abs(fitted.wrong.mean() - (given != true).mean()) < 0.06


def test_the_classifier_leaves_out_only_what_can_be_used():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(300, 10)), generator.integers(3, size=300)
    classifier = NoisyLabelClassifier(LogisticRegression()).fit(x, y)
    assert classifier.verdict_["outcome"] == "nothing" and classifier.label_issues_["issue"].any()
    assert np.allclose(classifier.predict_proba(x), LogisticRegression().fit(x, y).predict_proba(x))


# --- enough steps -----------------------------------------------------------------------------------------------------

def test_the_number_of_epochs_follows_the_number_of_steps(tmp_path):
    small = utils.enough_epochs(steps=400, epochs=12)
    assert [small(n, 32) for n in (100, 400, 2000, 10000)] == [200, 58, 13, 12]
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(300, 3)), y=np.arange(300) % 2)
    from incv import INCV
    from incv.runner import planning

    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(300, 3)), y=np.arange(300) % 2)
    source = Source(path=str(tmp_path / "a.npz"))
    source = dataclasses.replace(source, facts=load.facts(source))
    noisy, none = {"noise_pattern": "sym", "noise_ratio": None}, dict.fromkeys(INCV.PUBLISHED)
    for given, epochs, name in (({}, 80, "INCV_seed0"), ({"epochs": 80}, 80, "INCV_seed0"),
                                ({"epochs": 12}, 12, "INCV_seed0_epochs12"),
                                ({"label_issues": False}, 80, "INCV_seed0_no_label_issues"),
                                ({"batch_size": 150}, 400, "INCV_seed0_batch_size150")):
        settings, path = planning.one_run("INCV", source, noisy, 0, 1, none | given, INCV.DEFAULTS, INCV.SCHEDULE,
                                          "results")
        assert (settings.epochs, path.name) == (epochs, name)


def test_the_batches_of_large_images_fit_into_memory(tmp_path):
    """32 samples of 64 x 64 pixels."""
    from incv import INCV
    from incv.runner import planning

    assert [utils.batch_for((side, side, 3)) for side in (28, 32, 33, 45, 64, 96, 224, 1024)] == [
        128, 128, 64, 64, 32, 16, 16, 16]
    facts = Facts(name="a", kind="images", size=500, num_classes=3, shape=(64, 64, 3), checksum="its checksum")
    source = Source(facts=facts, path=str(tmp_path / "a"))

    def planned(**given):
        settings, path = planning.one_run("INCV", source, {"noise_pattern": "sym", "noise_ratio": None}, 0, 2, dict.fromkeys(
            INCV.PUBLISHED) | given, INCV.DEFAULTS, INCV.SCHEDULE, tmp_path)
        return settings.batch_size, settings.epochs, path.name

    assert planned() == (32, 125, "INCV_seed0") and planned(batch_size=128) == (128, 500, "INCV_seed0_batch_size128")
