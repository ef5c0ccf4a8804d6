"""The report: what the files say, nothing that names could inject; a person decides in it, in a real browser."""
import importlib.util
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import FOLDER, QUICK_NAME, SMALL_NETWORK, run
from PIL import Image

from incv.checking import report
from incv.custom_data import decisions, load
from incv.runner.settings import Settings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = ["<script>alert(1)<", '"><img src=x onerror=alert(2)>', "$x_{1", "=cmd|' &amp;"]
HOSTILE_TEXTS = ["../x", "</td></script>", "\u4e2d\u6587", 'q"u\'o,te', "a\u2028b\u202ec", "=1+cmd|' /C'!A0"]
ARRAYS = ["--dataset", "arrays.npz", "--epochs", 20, "--iterations", 2, "--quiet"]


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The reports of a folder and of arrays whose names are meant to do harm."""
    folder = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    for number in range(60):
        place = folder / "images" / HOSTILE[number % 4].replace("/", "")
        place.mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(picture).resize((300, 200)).save(place / f"<b>{number}'\"\u2028\u202e.png")
    np.savez(folder / "arrays.npz", x=rng.normal(size=(60, 5)), y=np.array(HOSTILE_TEXTS * 10))
    for command in (["--dataset", "images", "--architecture", SMALL_NETWORK, *ARRAYS[2:]], ARRAYS):
        result = run(command, folder)
        assert result.code == 0 and result.err == "", result.err
    written = {path.relative_to(folder).parts[:2] for path in folder.rglob("*") if path.is_file()}
    assert {parts[1] for parts in written if parts[0] == "results"} == {"images", "arrays"}
    return folder


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("needs Chromium and playwright: install chromium, pip install -r requirements-dev.txt")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


def file_of(folder, name, ending):
    """Return the file of the run without decisions, whose name is the shortest."""
    found = (folder / "results" / name / "given").glob(f"INCV_seed0*{ending}")
    return min(found, key=lambda file: len(file.name))


def opened(browser, file):
    """The page of a report in a context of its own, whose errors end the test."""
    page = browser.new_context(accept_downloads=True).new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(file.as_uri())
    return page


def data_of(file):
    """What the page's script reads."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', file.read_text(), re.DOTALL)[1])


def downloaded(page, folder, button="#download"):
    with page.expect_download() as waiting:
        page.click(button)
    place = folder / waiting.value.suggested_filename
    waiting.value.save_as(place)
    return place


def count(page):
    return page.locator("#count").inner_text()


# --- what it shows ----------------------------------------------------------------------------------------------------

@pytest.mark.slow
def test_the_report_in_a_browser(reports, browser):
    for name, shown in (("images", HOSTILE), ("arrays", HOSTILE_TEXTS)):
        page, asked, said = browser.new_page(), [], []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("dialog", lambda dialog, said=said: (said.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda message, said=said: said.append(message.text))
        file = file_of(reports, name, "_report.html")
        page.goto(file.as_uri(), wait_until="load")
        for section in ("summary", "worst", "classes", "iterations", "settings"):
            assert page.locator(f"section#{section}").is_visible()
        page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        listed = decisions.read_issues(file_of(reports, name, "_label_issues.csv"))
        cards = page.locator("#cards > li")
        assert cards.count() == len(listed) > 0
        for number in range(len(listed)):  # each is drawn when it comes into view
            cards.nth(number).scroll_into_view_if_needed()
            cards.nth(number).locator("button").first.wait_for()
        names = page.locator("#cards h3 bdi").evaluate_all("all => all.map(each => each.textContent)")
        assert [each.removeprefix("sample ") for each in names] == listed["sample"].tolist()
        assert page.evaluate("[...document.images].every(image => image.naturalWidth >= 8)")
        assert page.locator("#cards .shown img").count() == (len(listed) if name == "images" else 0)
        assert page.locator("#cards polyline").count() == (0 if name == "images" else 3 * len(listed))
        classes = page.locator(".classes tbody a").evaluate_all("all => all.map(each => each.textContent)")
        assert set(classes) == set(shown), classes
        assert page.evaluate("document.querySelectorAll('script, b b, img[src^=x]').length") == 2  # the data and the script
        assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()] and said == []
        page.close()


def test_the_report_says_what_the_files_say(reports):
    for name in ("images", "arrays"):
        listed, file = file_of(reports, name, "_label_issues.csv"), file_of(reports, name, "_report.html")
        number, text, data = len(pd.read_csv(listed)), file.read_text(), data_of(file)
        assert f"<b>{number}</b> of 60 labels" in text
        assert "http" not in re.sub("http-equiv|http://www.w3.org/2000/svg", "", text)
        lines = [data["samples"]["header"], *(card["csv"] for card in data["samples"]["cards"])]
        assert "".join(f"{line}\n" for line in lines) == listed.read_text()
        assert text.count("<script") == text.count("</script>") == 2 and "\u2028" not in text[text.index("application/json"):]


def test_a_repeated_run_writes_the_same_page(reports):
    file = file_of(reports, "arrays", "_report.html")
    before = file.read_bytes()
    assert run([*ARRAYS, "--overwrite"], reports).code == 0 and file.read_bytes() == before


def test_without_javascript_the_page_has_the_list(reports, browser):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(file_of(reports, "arrays", "_report.html").as_uri())
    listed = pd.read_csv(file_of(reports, "arrays", "_label_issues.csv"), dtype=str)
    assert page.locator("#worst noscript tbody tr td:first-child").all_text_contents() == listed["sample"].tolist()
    assert not page.locator("#review").is_visible()


def test_the_report_says_of_how_many_samples_the_truth_is_known():
    listed = pd.DataFrame({"given": [], "suggested": [], "status": [], "margin": []})
    record = {"selected_in_all": 5, "left": 1, "estimated_noise_ratio": 0.2, "LP": 0.9, "LR": 0.8}
    provenance = {"settings": Settings(architecture="dense", epochs=3), "samples": 9, "iterations": [record],
                  "ended_early": None}
    found = {"command": None, "samples": {"cards": []}}
    texts = [report.page("t", provenance | known, listed, np.array([4, 5]), np.arange(2), found, b"")
             for known in ({}, {"true_labels_known": 6})]
    assert "The true labels are known here: 90.0 %" in texts[0]
    assert "The true labels of 6 samples are known. Among these, 90.0 %" in texts[1]


# --- deciding ---------------------------------------------------------------------------------------------------------

def test_decisions_in_the_page_change_exactly_these_labels(reports, browser, tmp_path):
    """By mouse and by keys; kept when the page is opened again; what is downloaded is what --decisions reads."""
    file, every = file_of(reports, "arrays", "_report.html"), file_of(reports, "arrays", "_out_of_fold.csv")
    page, data = opened(browser, file), data_of(file)
    names, cards = [each["name"] for each in data["classes"]], data["samples"]["cards"]
    assert len(cards) >= 6 and page.locator("#download").is_disabled()
    page.click("#start")
    page.locator("#cards > li").nth(0).get_by_role("button", name="is right").click()
    page.keyboard.press("k")
    page.keyboard.press("d")
    page.keyboard.press("Enter")
    other = next(each for each in range(6) if each not in (cards[4]["given"], cards[4]["suggested"]))
    page.keyboard.press("/")
    page.keyboard.type(names[other])
    page.keyboard.press("Enter")
    assert count(page) == f"5 of {len(cards)} decided, 3 relabelled, 1 kept, 1 dropped"
    assert page.locator("#cards > li.current").get_attribute("data-number") == "5"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("k")
    assert "2 relabelled, 2 kept" in count(page)
    page.keyboard.press("u")
    page.reload()
    assert count(page) == f"5 of {len(cards)} decided, 3 relabelled, 1 kept, 1 dropped"
    page.keyboard.press("u")
    page.keyboard.press("u")
    assert count(page) == f"3 of {len(cards)} decided, 1 relabelled, 1 kept, 1 dropped"
    assert data["samples"]["file"] in page.locator("#command").inner_text()

    listed = downloaded(page, reports)
    named = pd.read_csv(file_of(reports, "arrays", "_label_issues.csv"), dtype=str)["sample"].tolist()
    assert [(each.name, each.decision) for each in decisions.read([listed])] == [
        (named[0], names[cards[0]["suggested"]]), (named[1], "keep"), (named[2], "drop")]
    command = page.locator("#command").inner_text().split()
    place = command.index("--decisions")
    assert command[place + 1] == listed.name and command[place + 2:] == ["--export", "cleaned.npz"]
    result = run([*command[2:], "--quiet"], reports)
    assert result.code == 0 and "1 label changed, 1 confirmed, 1 sample not used" in result.out, result.err
    before, after = (decisions.read_issues(each).set_index("sample")["given"] for each in (
        every, next(reports.glob("results/arrays/given/*_decisions_*_out_of_fold.csv"))))
    changed = before.drop(named[2])
    assert changed.index.tolist() == after.index.tolist()
    assert changed.index[changed != after].tolist() == [named[0]] and after[named[0]] == names[cards[0]["suggested"]]
    assert (reports / "cleaned.npz").exists()


def test_cards_are_found_accepted_together_and_undone(reports, browser):
    file = file_of(reports, "images", "_report.html")
    page, cards = opened(browser, file), data_of(file)["samples"]["cards"]
    page.locator(".confusion a").first.click()
    shown = page.locator("#cards > li").count()
    link = page.locator("#of-given").input_value(), page.locator("#of-suggested").input_value()
    names = [each["name"] for each in data_of(file)["classes"]]
    assert 0 < shown < len(cards) and shown == sum(
        (names[card["given"]], names[card["suggested"]]) == link for card in cards)
    page.fill("#least", "0")
    assert page.locator("#accept").inner_text().startswith(f"Accept {shown} suggestion")
    page.click("#accept")
    assert count(page) == f"{shown} of {len(cards)} decided, {shown} relabelled, 0 kept, 0 dropped"
    page.click("#clear")
    page.select_option("#of-decided", "yes")
    assert page.locator("#cards > li").count() == shown
    page.click("#undo")
    assert count(page) == f"0 of {len(cards)} decided"
    page.click("#clear")
    page.fill("#search", cards[3]["name"])
    assert page.locator("#cards > li").evaluate_all("all => all.map(each => each.dataset.number)") == ["3"]
    page.click("#clear")
    page.select_option("#sort", "name")
    order = page.locator("#cards > li").evaluate_all("all => all.map(each => Number(each.dataset.number))")
    assert sorted(order) == list(range(len(cards))) and order != sorted(order)


def test_an_edited_list_is_loaded(reports, browser, tmp_path):
    """As a spreadsheet may save it: other separators, another encoding; what does not fit is told."""
    file = file_of(reports, "images", "_report.html")
    listed = pd.read_csv(file_of(reports, "images", "_label_issues.csv"), dtype=str, keep_default_na=False)
    listed.loc[[0, 1, 2, 3], "decision"] = ["Keep", "drop", HOSTILE[3], "no class"]
    page = opened(browser, file)
    for number, options in enumerate(({"sep": ";", "encoding": "utf-16"}, {"sep": "\t"}, {})):
        listed.to_csv(tmp_path / f"{number}.csv", index=False, **options)
        page.evaluate("document.getElementById('finding').open = true")
        page.set_input_files("#load", tmp_path / f"{number}.csv")
        page.locator("#count", has_text=re.compile("^3 of")).wait_for()
        assert page.locator("#trouble").inner_text().startswith("1 of the decisions")
        page.click("#undo")
        assert count(page).startswith("0 of")


@pytest.mark.slow
def test_a_list_in_the_encoding_of_a_western_spreadsheet_is_loaded(browser, tmp_path):
    labels = np.array(["Größe", "Weiß"])[np.arange(60) % 2]
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).normal(size=(60, 3)), y=labels)
    assert run(["--dataset", "d.npz", "--epochs", 20, "--iterations", 1, "--quiet"], tmp_path).code == 0
    [report], [file] = tmp_path.rglob("*_report.html"), tmp_path.rglob("*_label_issues.csv")
    listed = pd.read_csv(file, dtype=str, keep_default_na=False)
    listed.assign(decision="Größe").to_csv(tmp_path / "mine.csv", index=False, sep=";", encoding="cp1252")
    page = opened(browser, report)
    page.evaluate("document.getElementById('finding').open = true")
    page.set_input_files("#load", tmp_path / "mine.csv")
    page.locator("#count", has_text=re.compile(f"^{len(listed)} of")).wait_for()
    assert len(listed) and not page.locator("#trouble").is_visible()


def test_a_list_of_another_label_or_that_contradicts_itself_is_not_loaded(reports, browser, tmp_path):
    """As --decisions refuses it; rows without a row_id are found by number, below a spreadsheet's line sep=; too."""
    file = file_of(reports, "arrays", "_report.html")
    listed = pd.read_csv(file_of(reports, "arrays", "_label_issues.csv"), dtype=str, keep_default_na=False)
    page = opened(browser, file)

    def load(table, said, loaded, head=""):
        (tmp_path / "list.csv").write_text(head + table.to_csv(index=False, sep=";" if head else ","))
        page.evaluate("document.getElementById('finding').open = true")
        page.set_input_files("#load", tmp_path / "list.csv")
        page.get_by_text(said, exact=True).wait_for()
        assert count(page).startswith(f"{loaded} of")
        if loaded:
            page.click("#undo")

    row = listed.iloc[[0]].assign(decision="keep")
    load(row.assign(given="another"), "0 decisions loaded, 1 not", 0)
    load(pd.concat([row, row.assign(decision="drop")]), "0 decisions loaded, 2 not", 0)
    load(row.drop(columns="row_id"), "1 decision loaded", 1)
    load(row.assign(row_id=""), "1 decision loaded", 1)
    load(row, "1 decision loaded", 1, "sep=;\n")


def test_a_browser_that_keeps_nothing_says_so(reports, browser, tmp_path):
    """A page in a frame that may not store, as some mail programs and viewers of files show it."""
    file = file_of(reports, "arrays", "_report.html")
    (tmp_path / "viewer.html").write_text(f'<iframe sandbox="allow-scripts" src="{file.as_uri()}" width="900" height="900">')
    page = browser.new_page()
    page.goto((tmp_path / "viewer.html").as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("#not-kept").wait_for()
    assert "download them before you close" in frame.locator("#not-kept").inner_text()
    frame.locator("#start").click()
    page.keyboard.press("d")
    assert "1 dropped" in frame.locator("#count").inner_text()


def test_whether_a_person_is_right_is_told_after_the_review(quick_run, browser):
    """Labels that were made noisy, in a list without margins; there is no command for them."""
    file = quick_run / FOLDER / f"{QUICK_NAME}_report.html"
    page, cards = opened(browser, file), data_of(file)["samples"]["cards"]
    assert len(cards) > 3 and "margin" not in cards[0] and not page.locator("#next").is_visible()
    assert page.locator("#finish").is_disabled()
    page.click("#start")
    for key in ("Enter", "k", "d"):
        page.keyboard.press(key)
    assert "right" not in page.locator("#right").inner_text()
    page.click("#finish")
    page.click("#finish")  # others are undecided
    one, two, three = cards[:3]
    right = (one["suggested"] == one["true"]) + (two["given"] == two["true"]) + (three["given"] != three["true"])
    assert f"Of your 3 decisions, {right} (" in page.locator("#right").inner_text()
    suggested = sum(card["suggested"] == card["true"] for card in cards[:3])
    assert f"accepted every suggestion, it would be {suggested} (" in page.locator("#right").inner_text()


def test_decisions_about_groups_are_a_list_of_their_own(patients_run, browser, tmp_path):
    folder, *_ = patients_run
    file = folder / "results/t/given/INCV_seed0_epochs8_iterations1_group_patient_report.html"
    page, groups = opened(browser, file), data_of(file)["groups"]["cards"]
    page.click("#start")
    page.keyboard.press("Enter")
    page.keyboard.press("d")
    page.click("[data-kind=samples]")
    assert "relabelled" in count(page)  # the samples of the group
    listed = downloaded(page, tmp_path, "#download-groups")
    names = [each["name"] for each in data_of(file)["classes"]]
    assert [each[:2] + each[3:4] for each in decisions.read([listed])] == [
        ("group", groups[0]["name"], names[groups[0]["suggested"]]), ("group", groups[1]["name"], "drop")]
    dataset = load.load_dataset(folder / "t.csv", "kind", group="patient", decisions=[str(listed)])
    assert groups[1]["name"] not in dataset.groups
    of_first = dataset.class_names[dataset.given[dataset.groups == groups[0]["name"]]]
    assert set(of_first) == {names[groups[0]["suggested"]]}
    command = page.locator("#command").inner_text().split()
    assert command[command.index("--decisions") + 1] == listed.name
