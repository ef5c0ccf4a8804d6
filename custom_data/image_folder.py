"""A folder of images with a subfolder per class: find the files that are used, and their classes."""
import dataclasses
import functools
import itertools
import os
import re
from pathlib import Path

from incv.custom_data import json_files, table_file
from incv.custom_data.image_files import HIDDEN, IMAGE_FILES, LARGEST_FILE, content_of, files_below, scan_contents, shown
from incv.data import DataError
from incv.utils import listed, many

SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval"}
SYSTEM = {"__macosx", "@eadir", "thumbs.db", "desktop.ini", "lost+found", "$recycle.bin"}


def scan(path, image_size=None):
    """Read the images of a folder with a subfolder per class; cached while no name, size or time of a file changes.

    Raises DataError for a folder without classes, a class without images, and folders such as train/ above the classes.
    """
    folder = Path(path)
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    classes, results = _subfolders(folder, entries)
    _refuse_lists(folder, classes)
    splits = [name for name in classes if re.sub(r"[-_ ]?(set|data|images)$", "", name.casefold()) in SPLITS]
    below = {name: {each.name for each in os.scandir(folder / name) if _is_dir(each)} for name in classes}
    words = {name: set(re.split(r"[^a-z]+", name.casefold())) for name in classes}  # of seg_train, test_images
    parts = [name for name in classes if words[name] & {*SPLITS, "pred", "meta"}]
    if len(parts) > 1 and any(below[name] and "train" in name.casefold() for name in parts) and not any(
            below[name] for name in set(classes) - set(parts)):
        splits = parts
    if splits and (len(splits) == len(classes) and any(below.values()) or splits is parts or any(
            below[one] & below[other] for one, other in itertools.combinations(splits, 2))):
        first = next((name for name in splits if "train" in name.casefold()), splits[0])
        raise DataError(f"{folder}: {listed(splits)} are parts of a dataset, not classes: give --dataset {folder / first}")
    if len(classes) == 1 and len(below[classes[0]]) > 1:
        raise DataError(f"{folder}: has a single subfolder, which would be the only class: give --dataset "
                        f"{folder / classes[0]}, if its subfolders are the classes")
    left_out = {f"{name}/": "results of INCV" for name in results}
    for entry in entries:
        if _is_dir(entry) and _is_system(entry.name):
            left_out |= _inside(folder, entry.path)
        elif not _is_dir(entry):
            left_out[entry.name] = HIDDEN if _is_system(entry.name) else "not in the folder of a class"
    files, labels = [], []
    for label in classes:
        found = list(_files(folder, folder / label, left_out))
        if not found:
            _refuse_tables(folder, label)
            raise DataError(f"{folder / label}: contains no image ({', '.join(IMAGE_FILES)}); add images or remove it")
        files += found
        labels += [label] * len(found)
    if not files:
        raise DataError(f"{folder}: has no subfolder of images; each class needs one")
    stamps = tuple((file, (found := (folder / file).stat()).st_size, found.st_mtime_ns) for file in files)
    return _scan(folder, stamps, tuple(labels), image_size, tuple(left_out.items()))


def refuse_lists(path):
    """Raise the DataError of `scan` for a folder with a list or an export of an annotation tool instead of classes."""
    _refuse_lists(Path(path), _subfolders(Path(path), sorted(os.scandir(path), key=lambda entry: entry.name))[0])


def _subfolders(folder, entries):
    """Return (the names of the subfolders that may be classes, those with results of INCV)."""
    names = [entry.name for entry in entries if _is_dir(entry) and not _is_system(entry.name)]
    results = [name for name in names if _are_results(folder / name)]
    return [name for name in names if name not in results], results


def _refuse_lists(folder, classes):
    """Raise DataError if no subfolders are classes, and a file in the folder, or in these, says which image is of which."""
    splits = [name for name in classes if re.sub(r"[-_ ]?(set|data|images)$", "", name.casefold()) in SPLITS]
    if len(classes) > max(1, len(splits)) or any(_is_dir(each) for name in classes for each in os.scandir(folder / name)):
        return
    training_first = sorted(classes, key=lambda name: "train" not in name.casefold())
    for place in (folder, *(folder / name for name in training_first)):
        found = sorted(each for each in place.iterdir() if each.is_file() and table_file.is_table(each)
                       and not _is_system(each.name) and each.suffix.lower() != ".txt")
        for file in found:
            if file.suffix.lower() == ".json":
                json_files.refuse_export(file)
        if len(found) == 1 or found and place != folder and splits:
            raise DataError(f"{folder}: has no subfolder for each class, but a list: if it says which image is of which "
                            f"class, give --dataset {found[0]} --label COLUMN --images {place}")


def _refuse_tables(folder, label):
    """Raise DataError if a folder without images holds .parquet files, which are a table or part of one."""
    table = next((Path(each) for each in sorted(files_below(folder / label)) if each.endswith(".parquet")), None)
    if table and "=" in label:
        raise DataError(f"{folder}: a .parquet in parts by {label.split('=')[0]!r}; write it to one file and give that: "
                        f"pandas.read_parquet({str(folder)!r}).to_parquet('table.parquet')")
    if table:
        raise DataError(f"{folder / label}: contains .parquet files but no image: add images or remove it; for the table, "
                        f"give --dataset {table.parent}")


def _are_results(place):
    """Return whether a folder has no files itself, but results of this project below it."""
    return not any(os.path.isfile(each) for each in os.scandir(place)) and any(
        os.path.basename(file).startswith(("INCV_seed", "INCV_main_seed", "Verify_Theory_seed"))
        for file in files_below(place))


def _is_dir(entry):
    """Return whether an os.DirEntry is a folder or a link to one; its own is_dir raises if links are in a circle."""
    return os.path.isdir(entry) if entry.is_symlink() else entry.is_dir()


def _is_system(name):
    return name.startswith(".") or name.casefold() in SYSTEM


def _inside(folder, place):
    """Return {file: why it is not used} for the files below a hidden folder."""
    return {Path(os.path.relpath(file, folder)).as_posix(): HIDDEN for file in sorted(files_below(place))}


def _files(folder, place, left_out):
    """Yield the image files below a class's folder, relative to `folder`, ascending; add other files to left_out.

    Links to files and folders are followed; each folder is read once.
    """
    seen, waiting, root = set(), [place], os.path.realpath(folder)
    while waiting:
        place = waiting.pop()
        real = os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        if root.startswith(f"{real.rstrip('/')}/") or root == real:  # other classes are in it
            left_out[Path(os.path.relpath(place, folder)).as_posix()] = "a link to a folder above"
            continue
        folders = []
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
            name = Path(os.path.relpath(entry.path, folder)).as_posix()
            if _is_system(entry.name):
                left_out |= _inside(folder, entry.path) if _is_dir(entry) else {name: HIDDEN}
            elif _is_dir(entry):
                folders.append(entry.path)
            elif not entry.name.lower().endswith(IMAGE_FILES):
                left_out[name] = f"a {Path(entry.name).suffix or 'suffixless'} file"
            elif not os.path.isfile(entry) or not 0 < entry.stat().st_size <= LARGEST_FILE:
                left_out[name] = "empty, too large, or not a regular file"
            else:
                yield name
        waiting += reversed(folders)


@functools.lru_cache(maxsize=2)
def _scan(folder, stamps, labels, image_size, left_out):
    """stamps: (file, size, time) of each image."""
    contents = ((file, label, functools.partial(content_of, folder / file))
                for (file, _, _), label in zip(stamps, labels, strict=True))
    found = scan_contents(folder, contents, image_size, left_out)
    stems = {os.path.splitext(file)[0] for file in found.files}
    masks = [file for file in found.files
             if (stem := re.sub(r"[-_ ](mask|seg|segmentation|label)(_\d+)?$", "", os.path.splitext(file)[0], flags=re.I))
             in stems and stem != os.path.splitext(file)[0]]
    if masks:
        told = (f"{folder}: {many(len(masks), 'image')} such as {shown(masks[0])!r} may be masks of others, but are used as "
                f"images: remove them if they are masks")
        found = dataclasses.replace(found, warnings=[*found.warnings, told])
    lost = sorted(set(map(shown, labels)) - set(found.labels))
    if lost:
        raise DataError(f"{folder / lost[0]}: none of its images can be read; replace them, or remove the folder")
    return found
