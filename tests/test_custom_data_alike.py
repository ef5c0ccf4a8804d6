"""Evidence that samples of one name are alike: names that say nothing cause no warning with a code."""
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from incv import data
from incv.custom_data import alike, coded, group_names, load, repeats
from incv.label_issues import find_label_issues

HINT = {coded.MAY_BE_GROUPS}


def unrelated(n=400, classes=3, seed=0):
    """-> (8 features of samples that do not repeat each other, labels)."""
    draw = np.random.default_rng(seed)
    y = draw.integers(0, classes, n)
    return pd.DataFrame((draw.normal(0, 1, (classes, 8))[y] + draw.normal(0, 1, (n, 8))).round(4)).add_prefix("f"), y


def patients(number=20, rows=12, seed=0):
    """-> (features of rows that are like their patient's, given labels, a whole patient's wrong; the patient of each row)."""
    draw = np.random.default_rng(seed)
    true, patient = draw.permutation(number) % 3, np.repeat(np.arange(number), rows)
    bad = np.isin(np.arange(number), draw.choice(number, number // 8 + 1, replace=False))
    x = (draw.normal(0, 1, (3, 12))[true] + draw.normal(0, 1, (number, 12)))[patient] + draw.normal(0, 0.3, (len(patient), 12))
    return pd.DataFrame(x.round(4)).add_prefix("f"), np.where(bad, (true + 1) % 3, true)[patient], patient


IDS = {
    "numbers": lambda n, draw: f"{draw.integers(10 ** 5, 10 ** 6)}",
    "times": lambda n, draw: f"{pd.Timestamp('2024-01-01') + pd.Timedelta(seconds=20 * n):%Y-%m-%dT%H:%M:%S}",
    "times of a zone": lambda n, draw: f"{pd.Timestamp('2024-01-01') + pd.Timedelta(seconds=20 * n):%Y-%m-%dT%H:%M:%SZ}",
    "times with months": lambda n, draw: f"{pd.Timestamp('2024-01-01') + pd.Timedelta(minutes=n):%d-%b-%Y_%H:%M}",
    "customers": lambda n, draw: f"{draw.integers(1000, 1150)}-{''.join(draw.choice(list('ABCDEFGHKVXYZ'), 5))}",
    "invoices": lambda n, draw: f"INV-2024-{n // 40 + 1:02d}-{n:04d}",
    "articles": lambda n, draw: f"{'ABCD'[n % 4]}{draw.integers(10, 30)}-{n:03d}",
    "photographs": lambda n, draw: f"IMG_{20230308 + n // 9}_{draw.integers(100000, 240000)}"}


@pytest.mark.parametrize("kind", IDS)
def test_ids_of_samples_that_are_not_alike_cause_no_warning(tmp_path, kind):
    x, y = unrelated()
    draw = np.random.default_rng(1)
    x.assign(name=[IDS[kind](n, draw) for n in range(len(x))], label=np.array(["a", "b", "c"])[y]).to_csv(
        tmp_path / "t.csv", index=False)
    told = load.load_dataset(tmp_path / "t.csv", "label").warnings
    assert not coded.codes(told) and not any("equal in groups" in line for line in told)


@pytest.mark.parametrize("name", ["{n}.jpg", "IMG_{day}_{time}.jpg", "{day}_{n}.jpg", "A{part}-{n}.jpg"])
def test_pictures_that_are_not_alike_cause_no_warning(tmp_path, name):
    draw = np.random.default_rng(0)
    files = [name.format(n=n + 1, day=20230308 + n // 8, time=draw.integers(100000, 240000), part=n // 5) for n in range(180)]
    (tmp_path / "p").mkdir()
    for file in files:
        Image.fromarray(draw.integers(0, 255, (8, 8), dtype=np.uint8)).save(tmp_path / "p" / file)
    table = pd.DataFrame({"file": files, "label": draw.choice(list("abc"), 180), "site": draw.choice(list("uvwxyz"), 180)})
    table.to_csv(tmp_path / "p/t.csv", index=False)
    told = load.load_dataset(tmp_path / "p/t.csv", "label").warnings
    assert not coded.codes(told) and not any("equal in groups" in line for line in told)
    assert sum("column 'site' is called as groups are" in line for line in told) == 1


@pytest.mark.parametrize("name", ["site", "user", "client", "camera", "animal", "hospital", "shot"])
def test_a_column_of_categories_that_is_called_as_groups_are_has_no_code(name):
    """Also if the label and a feature depend on it; nor does a copy of it make samples alike."""
    x, y = unrelated()
    draw = np.random.default_rng(0)
    site = (y * 2 + draw.integers(0, 4, len(y))) % 7
    x["f0"] += site
    table = x.assign(**{name: np.array(list("abcdefg"))[site]}, code=site, other=np.array(list("tuvwxyz"))[site])
    found = group_names.in_columns(table, y, "t.csv", samples=alike.Samples(table, y))
    assert not coded.codes(found.values()) and "is called as groups are: if" in found[name]


def test_rows_of_patients_have_the_code_in_any_order():
    for number, rows in ((20, 12), (10, 30), (40, 10)):
        x, y, patient = patients(number, rows)
        mixed = np.random.default_rng(1).permutation(len(y))
        for order in (np.arange(len(y)), mixed):
            table = x.iloc[order].reset_index(drop=True).assign(patient=patient[order])
            samples = alike.Samples(table, y[order])
            assert samples.repeat(table["patient"], "patient")[0] > 0.8
            found = group_names.in_columns(table, y[order], "t", samples=samples)
            assert coded.codes(found.values()) == HINT and "are nearest to one of the same (" in found["patient"]
            names = [f"p{each:03d}_{row}" for row, each in enumerate(patient[order])]
            assert coded.codes(repeats.in_names(names, y[order], "t", samples=samples)) == HINT


def test_groups_that_say_nothing_do_not_silence_what_names_say():
    x, y, patient = patients(40, 10)
    table, draw = x.assign(patient=[f"p{each}" for each in patient]), np.random.default_rng(2)
    names = [f"p{each:03d}_{row}" for row, each in enumerate(patient)]
    for groups in (draw.integers(0, 7, len(y)), np.arange(len(y))):
        samples = alike.Samples(table, y, groups.astype(str).astype(object))
        assert coded.codes(group_names.in_columns(table, y, "t", samples=samples).values()) == HINT
        assert coded.codes(repeats.in_names(names, y, "t", samples=samples)) == HINT
        assert repeats.in_order(x.to_numpy(), y, "t", groups=samples.groups)
    samples = alike.Samples(table, y, patient.astype(str).astype(object))
    assert not group_names.in_columns(table, y, "t", samples=samples) and not repeats.in_names(names, y, "t", samples=samples)


def test_categories_that_predict_labels_have_no_code_without_likeness():
    x, y = unrelated(classes=2)
    draw = np.random.default_rng(0)
    product = np.where(draw.random(len(y)) < 0.06, draw.integers(0, 14, len(y)), y * 7 + draw.integers(0, 7, len(y)))
    table = x.assign(product=[f"product {each}" for each in product])
    found = group_names.in_columns(table, y, "t", samples=alike.Samples(table, y))
    assert list(found) == ["product"] and not coded.codes(found.values())
    one_class = pd.Series(np.where(y == 1, [f"s{n % 30}" for n in range(len(y))], None))  # filled for one class only
    assert group_names.may_be(one_class, y) is None


def test_copies_and_columns_that_sort_the_file_do_not_count():
    x, y = unrelated()
    group = np.arange(len(y)) // 2
    twice = np.repeat(x.to_numpy()[::2], 2, axis=0)
    assert alike.Samples(twice, np.repeat(y[::2], 2)).repeat(group) is None
    assert alike.Samples(np.c_[np.arange(len(y)) * 99, x], y).repeat(np.arange(len(y)) // 10) is None
    assert alike.Samples(np.empty((len(y), 0)), y).repeat(group) is None


@pytest.mark.parametrize("number, rows", [(20, 12), (10, 30), (40, 10)])
def test_neighbours_of_large_groups_are_not_compared_with_their_own(number, rows):
    """Rows of a patient, one after the other; also if a column is the same in all of them, and if another counts the rows."""
    for seed in range(3):
        x, y, patient = patients(number, rows, seed)
        age = np.random.default_rng(seed).integers(30, 80, number)[patient]
        by_class = np.argsort(y, kind="stable")
        for columns in (x, np.c_[x, age, np.arange(len(y))]):
            for order in (np.arange(len(y)), by_class):
                assert repeats.like_neighbours(np.asarray(columns)[order], y[order])[0] > 0.6
        mixed = np.random.default_rng(seed).permutation(len(y))
        assert repeats.like_neighbours(x.to_numpy()[mixed], y[mixed]) is None


def test_a_file_that_is_sorted_by_categories_is_no_repetition():
    draw = np.random.default_rng(0)
    y, kind = draw.integers(0, 3, 600), np.sort(draw.integers(0, 20, 600))
    x = np.c_[draw.normal(0, 1, (3, 8))[y] + draw.normal(0, 1, (600, 8)), np.eye(20)[kind]]
    by_class = np.argsort(y, kind="stable")
    assert repeats.like_neighbours(x, y) is None and repeats.like_neighbours(x[by_class], y[by_class]) is None


# --- Python -----------------------------------------------------------------------------------------------------------

@pytest.mark.filterwarnings("ignore::UserWarning")
def test_python_takes_columns_of_one_name_none_and_no_columns():
    x, y, patient = patients(20, 10)
    twice = x.set_axis(["f", "f", *x.columns[2:]], axis=1)
    index = pd.MultiIndex.from_arrays([patient, np.arange(len(y))], names=["one", "one"])
    p = np.full((len(y), 3), 1 / 3)
    for samples in (twice, x.set_axis([None, *x.columns[1:]], axis=1), x.set_index(index), twice.set_index(index)):
        assert find_label_issues(samples, y, pred_probs=p).attrs["verdict"]["warned"] == [coded.MAY_BE_GROUPS]
    for samples in (np.empty((len(y), 0)), pd.DataFrame(index=range(len(y)))):
        assert "warned" not in find_label_issues(samples, y, pred_probs=p).attrs["verdict"]
        with pytest.raises(data.DataError):
            find_label_issues(samples, y, LogisticRegression())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_python_judges_rows_of_patients_with_useless_groups_and_good_lists():
    x, y, patient = patients(20, 12)
    model = LogisticRegression(max_iter=3000)
    mixed = np.random.default_rng(0).permutation(len(y))
    table = x.assign(patient=patient).iloc[mixed]
    weekday = np.random.default_rng(1).integers(0, 7, len(y))
    for samples, groups in ((x, None), (x, weekday), (table, weekday), (table, np.arange(len(y)))):
        labels = y if samples is x else y[mixed]
        found = find_label_issues(samples, labels, model, groups=groups, permutations=0).attrs["verdict"]
        assert found["outcome"] != "use" and coded.MAY_BE_GROUPS in found["warned"]
    good, given = unrelated()
    ids = [f"INV-2024-{n // 40 + 1:02d}-{n:04d}" for n in range(len(good))]
    found = find_label_issues(good.set_index(pd.Index(ids)), given, model, permutations=0).attrs["verdict"]
    assert "warned" not in found


def test_bytes_are_sorted_as_numbers_are():
    """Differences of unsigned integers are never negative."""
    x, y = np.random.default_rng(0).integers(0, 256, (300, 5)).astype(np.uint8), np.arange(300) % 2
    assert not alike.sorted_by(x, y).any() and alike.sorted_by(np.sort(x, axis=0)[::-1], y).all()
