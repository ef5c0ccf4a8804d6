"""Lists in which a person decided: read as they come back, applied, told if they do not fit, and never lost."""
import dataclasses
import json
import os
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import REFERENCE, run
from examples import decided, facts_of_list, save_picture

from incv import data
from incv.custom_data import decisions, load
from incv.custom_data.source import Source
from incv.runner import files

# --- what a list says -------------------------------------------------------------------------------------------------

def test_no_name_is_a_formula_of_a_spreadsheet(tmp_path):
    names = ["=1+1", "+x", "-x", "@x", "'quoted", "-5", "+1e3", "plain", "\t=1"]
    table = pd.DataFrame({"sample": names, "given": names, "suggested": names[::-1], "p_given": -.5, "p_suggested": .5,
                          "status": "removed"})
    safe = decisions.for_spreadsheets(table)
    assert safe["sample"].tolist() == ["'=1+1", "'+x", "'-x", "'@x", "''quoted", "-5", "+1e3", "plain", "'\t=1"]
    files.write_table(tmp_path / "issues.csv", safe)
    back = decisions.read_issues(tmp_path / "issues.csv")
    assert all(back[column].tolist() == table[column].tolist() for column in ("sample", "given", "suggested"))


def test_decisions_as_pandas_and_people_write_them(tmp_path):
    """Integers beside empty cells become floats; KEEP is keep."""
    file, given = tmp_path / "mine.csv", np.arange(12) % 3
    listed = pd.DataFrame({"sample": np.arange(6.0), "given": given[:6].astype(float), "decision": np.nan})
    listed.loc[0, "decision"] = 2
    listed.to_csv(file, index=False)
    assert "0.0,0.0,2.0" in file.read_text()
    changed, used, trusted = decisions.decide([file], np.arange(12), given, np.arange(3))
    assert changed.tolist() == [2, *given[1:]] and used.all() and trusted.nonzero()[0].tolist() == [0]
    pd.DataFrame({"sample": [1, 2], "given": [1, 2], "decision": ["KEEP", "Drop"]}).to_csv(file, index=False)
    _, used, trusted = decisions.decide([file], np.arange(12), given, np.arange(3))
    assert trusted.nonzero()[0].tolist() == [1] and (~used).nonzero()[0].tolist() == [2]
    pd.DataFrame({"sample": [1], "given": ["1,00E+00"], "decision": ["keep"]}).to_csv(file, index=False)
    with pytest.raises(data.DataError, match="has the label '1', but '1,00E\\+00' in the list: the data have changed"):
        decisions.decide([file], np.arange(12), given, np.arange(3))


def test_two_decisions_of_one_list_about_a_sample_are_refused(tmp_path):
    files = decided(tmp_path, "sample,given,decision\n4,a,keep\n5,a,keep\n4,a,drop\n5,a,keep\n")
    with pytest.raises(data.DataError, match="sample '4' has the decisions 'keep' and 'drop': remove one of them"):
        decisions.read(files)


def test_true_and_false_as_a_spreadsheet_writes_them(tmp_path):
    files = decided(tmp_path, "sample,given,decision\n4,TRUE,keep\n5,TRUE,FALSE\n")
    given, used, trusted = decisions.decide(files, np.arange(8), np.ones(8, dtype=int) - (np.arange(8) < 2),
                                            np.array([False, True]))
    assert given.tolist() == [0, 0, 1, 1, 1, 0, 1, 1] and trusted[[4, 5]].all() and used.all()


def test_a_class_that_is_called_drop_is_not_guessed(tmp_path):
    (tmp_path / "d.csv").write_text("sample,given,decision\n1,drop,drop\n")
    with pytest.raises(data.DataError, match="'drop' is also the name of a class: rename the class"):
        decisions.decide([tmp_path / "d.csv"], np.arange(3), [0, 1, 1], np.array(["drag", "drop"]))


def test_a_list_of_its_former_name_is_read(tmp_path):
    """_suspects.csv, with the run's JSON beside it."""
    file = tmp_path / "INCV_seed0_suspects.csv"
    file.write_text("sample,given,suggested,p_given,p_suggested,status,margin,decision\n3,1,0,.1,.9,candidate,2,keep\n")
    file.with_name("INCV_seed0.json").write_text('{"settings": {"dataset_checksum": "of other data"}}')
    assert decisions.read([file]) == [("sample", "3", "1", "keep", "", "")]
    assert decisions.of_other_data([file], "of these data") == [file]


# --- lists applied ----------------------------------------------------------------------------------------------------


def test_decisions_about_pictures_are_by_row_and_name(listed):
    header = "sample,row,given,decision\n"
    assert facts_of_list(listed, decisions=decided(listed, header + "pics/5.png,5,b,drop\n")).size == 23
    with pytest.raises(data.DataError, match="has no column 'row'"):
        facts_of_list(listed, decisions=decided(listed, "sample,given,decision\n5,b,drop\n"))
    every = "".join(f"pics/{i}.png,{i},{'ab'[i % 2]},drop\n" for i in range(24))
    with pytest.raises(data.DataError, match="at least two classes are needed"):
        facts_of_list(listed, decisions=decided(listed, header + every))


def decided_pictures(listed, rows, names, decision="pics/5.png,5,b,drop\n", labels=None):
    """The names of the pictures that a decision about one of `listed` drops, and the warnings about it, with other rows."""
    kinds = [["a", "b"][row % 2] for row in rows] if labels is None else labels
    pd.DataFrame({"path": names, "label": kinds}).to_csv(listed / "list.csv", index=False)
    lists = decided(listed, f"sample,row,given,decision\n{decision}")
    path, options = listed / "list.csv", {"images": str(listed)}
    before, after = (load.load_dataset(path, "label", decisions=each, **options) for each in (None, lists))
    assert load.facts(Source(path=str(path), label="label", decisions=lists, **options)).size == len(after.names)
    return before.names[~np.isin(before.rows, after.rows)].tolist(), [line for line in after.warnings if "found by" in line
                                                                      and "decision" in line]


def test_decisions_about_pictures_follow_their_names(listed):
    """Wherever the row is now; a picture that is not in the list any more is not the one that took its row."""
    rows = list(range(24))
    dropped, told = decided_pictures(listed, rows[::-1], [f"pics/{row}.png" for row in rows[::-1]])
    assert dropped == ["pics/5.png"] and len(told) == 1 and "1 decision found by the names of the pictures" in told[0]
    dropped, told = decided_pictures(listed, rows, [f"pics/{row}.png" for row in rows])
    assert dropped == ["pics/5.png"] and told == []
    left = [row for row in rows if row not in (4, 5)]
    with pytest.raises(data.DataError, match="row '5' was 'pics/5.png' in the list, and is 'pics/7.png' now: 'pics/5.png' is "
                                             "not in the dataset") as error:
        decided_pictures(listed, left, [f"pics/{row}.png" for row in left])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("then, now", [("pics/5.png", "/content/x/pics/{}.png"), ("pics/5.png", r".\pics\{}.png"),
                                       (r"C:\me\pics\5.png", "pics/{}.png"), ("/content/x/pics/5.png", "/me/pics/{}.png")])
def test_decisions_about_pictures_of_another_beginning(listed, then, now):
    rows = [row for row in range(24) if row != 3]
    dropped, told = decided_pictures(listed, rows, [now.format(row) for row in rows], f"{then},5,b,drop\n")
    assert dropped == [now.format(5)] and "1 decision found by the ends of the names" in told[-1]
    rows.remove(5)
    with pytest.raises(data.DataError, match="is not in the dataset: remove its decision"):
        decided_pictures(listed, rows, [now.format(row) for row in rows], f"{then},5,b,drop\n")


def test_decisions_about_a_picture_of_several_rows(listed):
    """Found by its name, its label and its order; rows that are equal but for their group cannot be told apart."""
    rows = [*range(24), 5, 5]
    names, labels = [f"pics/{row}.png" for row in rows], [["a", "b"][row % 2] for row in rows[:24]] + ["a", "b"]
    for decision, kept in (("5,b,drop", ["a", "b"]), ("24,a,drop", ["b", "b"]), ("25,b,drop", ["b", "a"])):
        decided_pictures(listed, rows, names, f"pics/5.png,{decision}\n", labels)
        dataset = load.load_dataset(listed / "list.csv", "label", decisions=[str(listed / "d.csv")])
        assert dataset.class_names[dataset.given[dataset.names == "pics/5.png"]].tolist() == kept
    decided_pictures(listed, rows[1:], names[1:], "pics/5.png,24,a,drop\n", labels[1:])
    dataset = load.load_dataset(listed / "list.csv", "label", decisions=[str(listed / "d.csv")])
    assert dataset.class_names[dataset.given[dataset.names == "pics/5.png"]].tolist() == ["b", "b"]
    lists = decided(listed, "sample,row,given,decision\npics/5.png,5,b,drop\npics/1.png,1,b,keep\n")
    lines = (listed / "list.csv").read_text().splitlines()
    (listed / "list.csv").write_text("\n".join(["path,label,who", *(f"{line},{i % 7}" for i, line in enumerate(lines[1:]))]))
    with pytest.raises(data.DataError, match="was 'pics/5.png' is one of equal rows that cannot be told apart"):
        load.load_dataset(listed / "list.csv", "label", decisions=lists, group="who")


def test_decisions_of_one_row_about_two_pictures_are_not_one(tmp_path):
    lists = [tmp_path / "1.csv", tmp_path / "2.csv"]
    for file, name in zip(lists, ("a.png", "b.png"), strict=True):
        file.write_text(f"sample,row,given,decision\n{name},5,x,drop\n")
    assert decisions.checksum(lists) != decisions.checksum(lists[1:]) == decisions.checksum(lists[:1])


def test_decisions_about_rows_of_a_table_that_has_changed_are_told(tmp_path):
    """They go by number: a row that was removed moves those below it, without any of the labels giving it away."""
    table = pd.DataFrame({"v": np.arange(40) * 7 % 11, "kind": ["a", "a", "b", "b"] * 10})
    table.to_csv(tmp_path / "t.csv", index=False)
    command = ["--dataset", "t.csv", "--label", "kind", "--epochs", 1, "--iterations", 1, "--quiet"]
    assert run(command, tmp_path).code == 0
    listed = tmp_path / "results/t/given/INCV_seed0_epochs1_iterations1_label_issues.csv"
    listed.write_text("sample,given,suggested,decision\n20,a,b,b\n")

    def told():
        dataset = load.load_dataset(tmp_path / "t.csv", "kind", decisions=[str(listed)])
        return [line for line in dataset.warnings if "no row has moved" in line]

    assert told() == []
    table.drop(index=8).to_csv(tmp_path / "t.csv", index=False)
    assert told() == [f"{tmp_path / 't.csv'} has changed since {listed} was written, and decisions refer to rows by "
                      f"number: check that no row has moved"]


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


def test_a_person_decides_about_patients(patients_run):
    folder, command, wrong, result = patients_run
    base = folder / "results/t/given/INCV_seed0_epochs8_iterations1_group_patient"
    listed = pd.read_csv(f"{base}_groups.csv", dtype=str, keep_default_na=False)
    assert "_groups.csv" in result.out and "1 of 360 samples have no group" in result.out
    assert len(listed) == 60 and listed["group_margin"].astype(float).is_monotonic_decreasing
    every = pd.read_csv(f"{base}_out_of_fold.csv")
    worst = every[every["group"] == listed["group"][0]]
    assert int(listed["issues"][0]) == worst["issue"].sum() and int(listed["samples"][0]) == len(worst) == 6
    judged = json.loads(base.with_name(f"{base.name}.json").read_text())
    assert judged["settings"]["group"] == "patient" and judged["verdict"]["groups"] == 61
    page = base.with_name(f"{base.name}_report.html").read_text()
    assert page.index("Groups, worst first") < page.index("Label issues, worst first")
    assert f"<td>{listed['group'][0]}</td><td>{listed['issues'][0]} of 6</td>" in page

    first, second, third = listed["group"][:3]
    new = {"ill": "well", "well": "ill"}[listed["given"][1]]
    listed.loc[:2, "decision"] = ["drop", new, "keep"]
    listed.to_csv(folder / "mine.csv", index=False)
    source = Source(path=str(folder / "t.csv"), label="kind", group="patient", decisions=[str(folder / "mine.csv")])
    dataset, before = load.load_dataset(source), load.load_dataset(dataclasses.replace(source, decisions=None))
    assert len(dataset.given) == 354 == load.facts(source).size and first not in dataset.groups
    assert (dataset.class_names[dataset.given[dataset.groups == second]] == new).all()
    assert dataset.trusted.tolist() == np.isin(dataset.groups, [second, third]).tolist()
    others = ~np.isin(before.groups, [first, second])
    assert np.array_equal(before.given[others], dataset.given[~np.isin(dataset.groups, [second])])

    sample = int(np.flatnonzero(before.groups == second)[0])
    (folder / "row.csv").write_text(f"sample,given,decision\n{sample},{new},drop\n")
    chained = load.load_dataset(dataclasses.replace(source, decisions=[str(folder / "mine.csv"), str(folder / "row.csv")]))
    assert len(chained.given) == 353 and sample not in chained.names
    for change, options, words in (({"group": "p999"}, {}, "group 'p999' is not in the dataset"),
                                   ({"given": "dead"}, {}, "'dead' in the list"),
                                   ({}, {"group": None}, "give the --group of the run that wrote this list")):
        listed.loc[:0].assign(**change).to_csv(folder / "bad.csv", index=False)
        with pytest.raises(data.DataError, match=words):
            load.load_dataset(dataclasses.replace(source, decisions=[str(folder / "bad.csv")], **options))


def test_decided_patients_are_exported_and_kept(patients_run, tmp_path):
    folder, command, _, _ = patients_run
    base = folder / "results/t/given/INCV_seed0_epochs8_iterations1_group_patient"
    listed = pd.read_csv(f"{base}_groups.csv", dtype=str, keep_default_na=False)
    new = {"ill": "well", "well": "ill"}[listed["given"][0]]
    listed.loc[0, "decision"] = new
    listed.to_csv(folder / "one.csv", index=False)
    command = [*command[:6], "--epochs", 2, "--iterations", 1, "--quiet", "--decisions", "one.csv", "--export", "clean.csv"]
    result = run(command, folder)
    assert result.code == 0 and "6 labels changed, 0 confirmed, 0 samples not used" in result.out, result.err
    exported = pd.read_csv(folder / "clean.csv")
    assert (exported["kind"][exported["patient"] == listed["group"][0]] == new).sum() == 6
    digest = decisions.checksum([folder / "one.csv"])[:6]
    again = pd.read_csv(next(folder.glob(f"results/t/given/*decisions_{digest}_groups.csv")))
    assert listed["group"][0] not in set(again["group"])  # decided


# --- no list is lost --------------------------------------------------------------------------------------------------

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
    every = listed.with_name("INCV_seed0_epochs1_iterations1_out_of_fold.csv")  # a list of all samples, to decide on any
    mine = pd.read_csv(every).assign(decision=["drop"] + [""] * 39).to_csv(index=False)
    every.write_text(mine)
    result = run(quick, tmp_path)
    kept = every.with_name(f"{every.stem}_decided1.csv")
    assert result.code == 0 and kept.read_text() == mine and f"{kept.name}: your decisions are kept" in result.out
    assert listed.read_text().startswith("sample,given,suggested")
    assert sorted(file.name for file in every.parent.glob("*_decided*")) == [
        f"{list_.stem}_decided1.csv" for list_ in (listed, every)]
    every.write_text(mine)
    every.with_name(every.name.replace("_out_of_fold.csv", ".json")).unlink()  # the run starts again
    assert run(quick[:-1], tmp_path).code == 0 and every.with_name(f"{every.stem}_decided2.csv").read_text() == mine


def test_a_column_of_notes_is_kept_and_a_list_as_written_is_not(tmp_path, patients_run):
    """Whether it has rows or not, and with any separator."""
    folder, *_ = patients_run
    lists = [file for file in (*Path(folder).rglob("*.csv"), *REFERENCE.rglob("*.csv")) if "results" in file.parts]
    assert len(lists) > 20 and {"_groups.csv", "_issues.csv"} <= {file.name[file.name.rfind("_"):] for file in lists}
    for number, file in enumerate(lists):
        text = file.read_bytes()
        for name, content in (("all", text), ("head", text.partition(b"\n")[0] + b"\n")):
            listed = tmp_path / f"{number}{name}.csv"
            listed.write_bytes(content)
            assert decisions.set_aside(listed) is None and listed.exists(), file
    for sep in ",;\t":
        mine = "sample,given,suggested,decision,My notes\n1,a,b,,see mail\n".replace(",", sep)
        listed.write_text(mine)
        assert decisions.set_aside(listed).read_text() == mine and not listed.exists()


EDITED = {
    "decided": lambda text: text.replace("decision\n", "decision\n", 1).rstrip("\n") + "keep\n",
    "a note beside it": lambda text: text.rstrip("\n") + "keep,see mail\n",
    "saved as a spreadsheet": lambda text: "PK\3\4" + text,
}


@pytest.mark.parametrize("case", EDITED)
@pytest.mark.slow
def test_an_edited_list_is_never_replaced(tmp_path, case):
    """Neither by --overwrite nor by a run that starts again since its JSON was lost; --export does not replace it either."""
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=generator.normal(size=(60, 3)), y=np.arange(60) % 2)
    arguments = ["--dataset", "d.npz", "--epochs", 30, "--iterations", 1, "--quiet"]
    assert run(arguments, tmp_path).code == 0
    [listed] = tmp_path.rglob("*_label_issues.csv")
    assert len(listed.read_text().splitlines()) > 1
    listed.write_text(EDITED[case](listed.read_text()))
    edited = listed.read_text()
    refused = run([*arguments, "--seed", 1, "--export", listed.relative_to(tmp_path)], tmp_path)
    assert refused.code == 2 and refused.err.count("\n") == 1 and "name of a file of a run" in refused.err, refused.err
    if case == "decided":
        next(tmp_path.rglob("INCV_seed0*.json")).unlink()
        again = run(arguments, tmp_path)
    else:
        again = run([*arguments, "--overwrite"], tmp_path)
    assert again.code == 0 and "your decisions are kept in this file" in again.out, again.err
    assert listed.with_name(f"{listed.stem}_decided1.csv").read_text() == edited and listed.read_text() != edited


def test_a_pipe_where_a_json_may_be_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "zz.json")
    (tmp_path / "zz_label_issues.csv").write_text("sample,given,decision\n1,a,keep\n")
    writer = threading.Thread(target=lambda: open(tmp_path / "zz.json", "wb").close(), daemon=True)
    writer.start()  # which ends as soon as somebody reads
    assert decisions.of_other_data([tmp_path / "zz_label_issues.csv"], "1") == [] and writer.is_alive()
    with open(tmp_path / "zz.json", "rb"):
        writer.join()


def test_a_decision_about_a_name_that_begins_with_a_space_is_about_no_other(tmp_path):
    for folder in (" cat", "cat", "dog"):
        (tmp_path / "pics" / folder).mkdir(parents=True)
        for number in range(3):
            save_picture(tmp_path / "pics" / folder / f"{number}.png", (20 * number, len(folder), ord(folder[-1])))
    file = decided(tmp_path, 'sample,given,decision\n" cat/0.png",cat,dog\ndog/1.png ,dog,cat\n')
    dataset = load.load_dataset(tmp_path / "pics", decisions=file)
    now = dict(zip(dataset.names.tolist(), dataset.class_names[dataset.given].tolist(), strict=True))
    assert now[" cat/0.png"] == "dog" and now["cat/0.png"] == "cat" and now["dog/1.png"] == "cat"
