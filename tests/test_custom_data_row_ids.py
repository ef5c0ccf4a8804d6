"""Decisions find their rows, though these have moved since the list was written: each row has an id of its content."""
import io

import numpy as np
import pandas as pd
import pytest
from conftest import run
from PIL import Image

from incv import data
from incv.custom_data import decisions, load, row_ids

N = 60


def people():
    """A table whose rows differ, with fractions, missing values, text and True beside False."""
    generator = np.random.default_rng(0)
    return pd.DataFrame({"age": generator.integers(20, 60, N), "income": generator.normal(size=N) * 1e3,
                         "town": generator.choice(["Köln", "Ulm", "NA"], N), "member": generator.random(N) < 0.5,
                         "hours": np.where(np.arange(N) % 7, np.round(generator.normal(7, 1, N), 1), np.nan),
                         "kind": np.where(np.arange(N) % 2, "a", "b")})


def decided(folder, path, label, decision_of):
    """A list of decisions about samples of a dataset as it is now, {position: decision}; returns its file."""
    dataset = load.load_dataset(path, label)
    place = {int(name): number for number, name in enumerate(dataset.names)}
    rows = [(name, dataset.class_names[dataset.given[place[name]]], dataset.row_ids[place[name]], decision)
            for name, decision in decision_of.items()]
    file = folder / "decided.csv"
    pd.DataFrame(rows, columns=["sample", "given", "row_id", "decision"]).to_csv(file, index=False)
    return str(file)


def moved(dataset):
    return [line.partition(": ")[2] for line in dataset.warnings if "have moved" in line]


def applied(path, file, label="kind"):
    """(the Dataset with decisions, the positions of the samples in it whose labels are decided)."""
    dataset = load.load_dataset(path, label, decisions=[file])
    return dataset, dataset.names[dataset.trusted].tolist()


def sorted_by_age(table):
    return table.sort_values("age", kind="stable")


CHANGES = {
    "sorted": sorted_by_age,
    "rows removed": lambda table: table.drop(index=[0, 1, 2, 30]),
    "rows added": lambda table: pd.concat([table.iloc[5:9].assign(income=np.arange(4.0)), table]),
    "columns in another order": lambda table: sorted_by_age(table)[table.columns[::-1]],
    "saved with pandas' index": lambda table: sorted_by_age(table).reset_index(drop=True).reset_index(names=""),
    "read and saved by pandas": lambda table: sorted_by_age(pd.read_csv(io.StringIO(table.to_csv(index=False)))),
    "TRUE, as a spreadsheet writes it": lambda table: sorted_by_age(table).assign(member=table["member"].map(
        {True: "TRUE", False: "FALSE"})),
    "whole numbers with a point": lambda table: sorted_by_age(table).assign(age=table["age"].astype(float)),
    "15 digits": lambda table: sorted_by_age(table).assign(income=table["income"].map("{:.15g}".format)),
    "another label corrected": lambda table: sorted_by_age(table.assign(kind=table["kind"].where(np.arange(N) != 3, "b"))),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_rows_that_moved_are_found(tmp_path, change, ending):
    """Rows 7, 20 and 41 are decided about, and the ages at which they are found tell whose labels are changed."""
    path, table = tmp_path / f"t{ending}", people()

    def write(table):
        if ending == ".parquet":
            table.rename(columns={"": "Unnamed: 0"}).to_parquet(path, index=False)
        else:
            table.to_csv(path, index=False)

    write(table)
    file = decided(tmp_path, path, "kind", {7: "b", 20: "keep", 41: "drop"})
    new = CHANGES[change](table)
    if ending == ".parquet" and "TRUE" in change:
        pytest.skip("a .parquet has no spelling")
    write(new)
    dataset, names = applied(path, file)
    incomes = new["income"].astype(float).round(6).tolist()
    of_seven, of_twenty, of_41 = (incomes.index(round(table["income"][row], 6)) for row in (7, 20, 41))
    assert names == sorted([of_seven, of_twenty]) and of_41 not in dataset.names
    labels = dict(zip(dataset.names.tolist(), dataset.class_names[dataset.given], strict=True))
    expected = new["kind"].tolist()
    expected[of_seven] = "b"
    assert labels == {row: label for row, label in enumerate(expected) if row != of_41}
    number = sum(now != then for now, then in ((of_seven, 7), (of_twenty, 20), (of_41, 41)))
    assert moved(dataset) == ([f"{number} decision{'s' * (number > 1)} found by the content of the rows, which have moved "
                               f"since the list was written"] if number else [])


@pytest.mark.parametrize("change, words", [
    (lambda table: table.drop(index=7), "the row that was '7' is not in the dataset: remove its decision"),
    (lambda table: table.assign(note=range(N)), "the row that was '7' (and 1 other) is not in the dataset"),
    (lambda table: table.assign(kind=table["kind"].where(np.arange(N) != 20, "a")), "has the label 'a', but 'b' in the list"),
])
def test_rows_that_are_no_longer_there_are_refused(tmp_path, change, words):
    table = people()
    table.to_csv(tmp_path / "t.csv", index=False)
    file = decided(tmp_path, tmp_path / "t.csv", "kind", {7: "b", 20: "keep"})
    change(table).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(data.DataError) as error:
        applied(tmp_path / "t.csv", file)
    assert words in str(error.value) and "\n" not in str(error.value)
    pd.read_csv(file).drop(columns="row_id").to_csv(file, index=False)  # the way out: by number
    if "note" in change(table):
        assert applied(tmp_path / "t.csv", file)[1] == [7, 20]


def test_a_label_corrected_in_the_file_as_it_was_decided(tmp_path):
    table = people()
    table.to_csv(tmp_path / "t.csv", index=False)
    file = decided(tmp_path, tmp_path / "t.csv", "kind", {7: "b"})
    sorted_by_age(table.assign(kind=table["kind"].where(np.arange(N) != 7, "b"))).to_csv(tmp_path / "t.csv", index=False)
    dataset, names = applied(tmp_path / "t.csv", file)
    assert len(names) == 1 and dataset.class_names[dataset.given[dataset.trusted]].tolist() == ["b"]


def test_equal_rows_are_told_apart_by_label_then_order(tmp_path):
    """Rows 0, 1 and 2 are equal, with labels a, b, b."""
    table = pd.DataFrame({"v": [5, 5, 5, *range(10, 30)], "w": [1, 1, 1, *range(20)], "kind": list("abb") + list("ab") * 10})
    path = tmp_path / "t.csv"
    table.to_csv(path, index=False)
    ids = load.load_dataset(path, "kind").row_ids
    assert [name.partition("-")[2] for name in ids[:4]] == ["", "2", "3", ""] and len(set(ids)) == len(ids)
    file = decided(tmp_path, path, "kind", {0: "keep", 2: "a"})
    table.iloc[::-1].to_csv(path, index=False)  # b, b, a at the end
    dataset, names = applied(path, file)
    assert names == [20, 22] and dataset.class_names[dataset.given[[20, 21, 22]]].tolist() == ["a", "b", "a"], names
    file = decided(tmp_path, path, "kind", {20: "a", 21: "drop"})  # both are b; which is which, once one is removed?
    table.iloc[::-1].drop(index=2).to_csv(path, index=False)
    with pytest.raises(data.DataError, match="the row that was '21' is one of equal rows that cannot be told apart"):
        applied(path, file)


def test_many_equal_rows(tmp_path):
    """Nine combinations in 200 rows: each decision is about a row of the same content and label, no two about one row."""
    generator = np.random.default_rng(0)
    table = pd.DataFrame({"a": generator.integers(3, size=200), "b": generator.integers(3, size=200),
                          "kind": generator.choice(list("uvw"), 200)})
    table.to_csv(tmp_path / "t.csv", index=False)
    decisions_of = {row: "drop" if row % 2 else "keep" for row in range(0, 90, 3)}
    file = decided(tmp_path, tmp_path / "t.csv", "kind", decisions_of)
    new = table.sample(frac=1, random_state=1).reset_index(drop=True)
    new.to_csv(tmp_path / "t.csv", index=False)
    dataset, names = applied(tmp_path / "t.csv", file)
    kept, dropped = ([row for row in decisions_of if decisions_of[row] == how] for how in ("keep", "drop"))
    assert sorted(map(tuple, new.iloc[names].to_numpy())) == sorted(map(tuple, table.iloc[kept].to_numpy()))
    gone = sorted(set(range(200)) - set(dataset.names.tolist()))
    assert sorted(map(tuple, new.iloc[gone].to_numpy())) == sorted(map(tuple, table.iloc[dropped].to_numpy()))


def test_ids_in_capitals(tmp_path):
    table = people()
    table.to_csv(tmp_path / "t.csv", index=False)
    file = decided(tmp_path, tmp_path / "t.csv", "kind", {7: "b"})
    pd.read_csv(file).assign(row_id=lambda listed: listed["row_id"].str.upper()).to_csv(file, index=False)
    assert applied(tmp_path / "t.csv", file)[1] == [7]


@pytest.mark.parametrize("kind", ["vectors", "float pictures", "byte pictures"])
def test_samples_of_arrays(tmp_path, kind):
    generator = np.random.default_rng(0)
    x = {"vectors": generator.normal(size=(40, 5)), "float pictures": generator.random((40, 4, 4)),
         "byte pictures": generator.integers(0, 255, (40, 4, 4, 3), dtype=np.uint8)}[kind]
    y, order = np.arange(40) % 2, generator.permutation(40)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    file = decided(tmp_path, tmp_path / "d.npz", None, {7: "0", 20: "drop"})
    for dtype in (x.dtype, np.float32):  # a picture of bytes keeps its id as floats
        np.savez(tmp_path / "d.npz", x=x[order].astype(dtype), y=y[order])
        dataset, names = applied(tmp_path / "d.npz", file, None)
        assert order[names].tolist() == [7] and 20 not in order[dataset.names] and moved(dataset)
    np.save(tmp_path / "x.npy", x[order])
    np.save(tmp_path / "y.npy", y[order])
    dataset = load.load_dataset(tmp_path / "x.npy", labels=str(tmp_path / "y.npy"), decisions=[file])
    assert order[dataset.names[dataset.trusted]].tolist() == [7]


def test_pictures_inside_a_parquet(tmp_path):
    """They have no names: their list has rows, and the pictures' own bytes find them again."""
    def png(value):
        Image.new("L", (8, 8), value).save(stream := io.BytesIO(), "PNG")
        return stream.getvalue()

    table = pd.DataFrame({"image": [png(i * 5) for i in range(24)], "label": list("ab") * 12})
    path, file = tmp_path / "t.parquet", tmp_path / "d.csv"
    table.to_parquet(path)
    before = load.load_dataset(path, "label")
    pd.DataFrame({"sample": [4, 9], "row": [4, 9], "given": ["a", "b"], "row_id": before.row_ids[[4, 9]],
                  "decision": ["b", "drop"]}).to_csv(file, index=False)
    table.iloc[::-1].to_parquet(path)
    after = load.load_dataset(path, "label", decisions=[str(file)])
    assert after.rows[after.trusted].tolist() == [19] and after.x_train[after.trusted].max() == 20 and moved(after)
    assert 14 not in after.rows and len(after.rows) == 23


def test_json_lines(tmp_path):
    path, table = tmp_path / "t.jsonl", people()
    table.to_json(path, orient="records", lines=True)
    file = decided(tmp_path, path, "kind", {7: "b", 20: "drop"})
    new = sorted_by_age(table)
    new.to_json(path, orient="records", lines=True)
    assert new.index[applied(path, file)[1]].tolist() == [7]


def test_the_lists_of_a_run_have_ids_and_find_rows_after_sorting(tmp_path):
    """Through the command line, with the list of all samples too, as pandas and a spreadsheet save it."""
    table, path = people(), tmp_path / "t.csv"
    table.to_csv(path, index=False)
    command = ["--dataset", "t.csv", "--label", "kind", "--epochs", 1, "--iterations", 1, "--quiet"]
    assert run(command, tmp_path).code == 0
    every = pd.read_csv(tmp_path / "results/t/given/INCV_seed0_epochs1_iterations1_out_of_fold.csv")
    listed = pd.read_csv(tmp_path / "results/t/given/INCV_seed0_epochs1_iterations1_label_issues.csv")
    assert every.columns[-1] == "row_id" and listed.columns[-2:].tolist() == ["row_id", "decision"]
    assert every["row_id"].is_unique and (every["row_id"].str.match(r"r[0-9a-f]{15}$")).all()
    every.assign(decision=np.where(every["sample"] == 7, "b", "")).to_csv(tmp_path / "mine.csv", sep=";", index=False)
    sorted_by_age(table).to_csv(path, index=False)
    result = run([*command, "--decisions", "mine.csv", "--export", "clean.csv"], tmp_path)
    assert result.code == 0 and "1 label changed, 0 confirmed, 0 samples not used" in result.out, result.err
    assert "1 decision found by the content of the rows" in result.out
    exported = pd.read_csv(tmp_path / "clean.csv")
    assert exported["kind"][np.isclose(exported["income"], table["income"][7])].tolist() == ["b"]


def test_a_line_that_a_person_has_copied(tmp_path):
    """With the id of another row it would decide about that one."""
    table = people()
    table.to_csv(tmp_path / "t.csv", index=False)
    file = decided(tmp_path, tmp_path / "t.csv", "kind", {7: "b"})
    listed = pd.read_csv(file)
    pd.concat([listed, listed.assign(sample=9)]).to_csv(file, index=False)
    with pytest.raises(data.DataError, match="sample '7' and '9' have the same row_id: empty this cell"):
        applied(tmp_path / "t.csv", file)
    pd.concat([listed, listed.assign(sample=9, row_id="")]).to_csv(file, index=False)
    assert applied(tmp_path / "t.csv", file)[1] == [7, 9]


def test_decisions_are_told_apart_by_their_rows(tmp_path):
    """The same number and decision about another row is another decision."""
    def written(name):
        (tmp_path / "d.csv").write_text(f"sample,given,row_id,decision\n3,a,{name},keep\n")
        return decisions.checksum([tmp_path / "d.csv"])

    assert written("r1") != written("r2") and written("r1") == written("r1")
    (tmp_path / "old.csv").write_text("sample,given,decision\n3,a,keep\n")
    assert decisions.checksum([tmp_path / "old.csv"]) == written("")


def test_ids_of_200000_rows_are_cheap_and_the_same_in_all_versions():
    assert row_ids.of_table(pd.DataFrame({"a": [1, 2.5, None], "b": ["x", "", "Ü"]})).tolist() == KNOWN
    assert len(set(row_ids.of_table(pd.DataFrame({"id": np.arange(200000) + 10 ** 12})))) == 200000
    assert row_ids.of_array(np.array([[1.0, 2.0], [0.5, -0.0], [0.5, 0.0]])).tolist() == KNOWN_OF_ARRAY


KNOWN = ["rc532327829e3e31", "r391e01ee50e615a", "r67d68641a0fa4ec"]
KNOWN_OF_ARRAY = ["r3063fced7a378c2", "r7ba2dfc69dd24b7", "r7ba2dfc69dd24b7-2"]
