"""Start or resume a run: its data, noisy labels, checkpoint, backend and provenance."""
import dataclasses
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata

import numpy as np

from incv import data, utils
from incv.custom_data import decisions, feature_file, load
from incv.runner import checkpoint, console, custom_network, files, noisy_labels, revision
from incv.runner.settings import Settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Started:
    """A run that has started.

    settings: with the checksum of the data; dataset: data.Dataset of the samples in use; index: their positions in the whole
    training set; y_noisy: int [n]; resumed: {name: array} of the checkpoint to resume from or {}; save_checkpoint(**arrays);
    provenance(): the content of the run's JSON.
    """

    settings: Settings
    dataset: data.Dataset
    index: np.ndarray
    y_noisy: np.ndarray
    resumed: dict
    save_checkpoint: Callable
    provenance: Callable


def start_run(plan, published, progress, schedule):
    """Start or resume a run: its data, its noisy labels, its checkpoint, the backend. Returns Started.

    Parameters
    ----------
    plan : planning.Plan
    published : {setting: value}
        The paper's experiment, to report how this run differs.
    progress : console.Progress
    schedule : dict
        Arguments of `utils.learning_rate`, as published.
    """
    settings, path, source = plan.settings, plan.path, plan.source
    environment = utils.environment(settings.backend)
    if environment != settings.environment:
        raise utils.UserError(f"the worker has the environment variables {environment or 'none'}, the command "
                              f"{settings.environment or 'none'}: start the workers with the same ones")
    if source.path is None:
        dataset = data.load(settings.dataset, source.data_dir)
        settings = settings.having(dataset_checksum=dataset.checksum)
        if source.features is not None:
            dataset = feature_file.applied(dataset, source, path.parent)
    try:
        resumed, complaint = checkpoint.load_checkpoint(path, settings)
    except files.OtherSettings:
        if not plan.overwrite:
            raise
        checkpoint.remove_checkpoint(path)
        resumed, complaint = {}, ""
    if complaint:
        print(f"{complaint}: {'resuming from the one before' if resumed else 'starting again'}")
    sessions = json.loads(str(resumed.get("sessions", "[]")))
    if sessions and (note := revision.difference(sessions[-1].get("code_revision"))):
        print(f"{path}.checkpoint: {note}", flush=True)
    started_at = time.monotonic() - float(resumed.get("wall_seconds", 0))
    this_session = session(*utils.start_backend(settings.threads, plan.gpu_id, plan.network is None))
    if plan.network is not None:
        custom_network.load(plan.network, settings.architecture, settings.architecture_checksum)
    earlier = [other for other in sessions if other != this_session]

    if source.path is not None:
        dataset = load.load_dataset(source, scratch=path.parent, quiet=progress.quiet)
        if dataset.checksum != settings.dataset_checksum:
            raise utils.UserError(f"{source.path}: changed since the command started; rerun the same command")
        classes = utils.listed([repr(str(name)) for name in dataset.class_names], 8)
        progress.say(f"{dataset.num_classes} classes: {classes}")
    for warning in dataset.warnings if console.first_time(("warnings", path.parent)) else ():
        progress.say(f"warning: {warning}")
    check_unchanged(settings, source)
    dataset, index, y_noisy = noisy_labels.load(settings, dataset, source.labels, plan.transition)
    known = None if dataset.y_train is None else dataset.y_train >= 0
    flipped = None if known is None else int((dataset.y_train != y_noisy)[known].sum())

    def save(**arrays):
        checkpoint.save_checkpoint(path, settings, **arrays, sessions=json.dumps([*earlier, this_session]),
                                   wall_seconds=time.monotonic() - started_at)
        checkpoint.check_time(plan.deadline)

    def provenance():
        differs = {name: {"here": getattr(settings, name), "published": value} for name, value in published.items()
                   if name in settings.names and getattr(settings, name) != value}
        return {"settings": settings, "differs_from_published": differs, **this_session, "earlier_sessions": earlier,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "wall_seconds": round(time.monotonic() - started_at, 1), "samples": len(y_noisy), "flipped": flipped,
                **({} if known is None or known.all() else {"true_labels_known": int(known.sum())}),
                "warnings": list(dataset.warnings),
                "learning_rates": utils.changes_of_learning_rate(utils.schedule(schedule, settings), settings.epochs),
                **({} if plan.transition is None else {"transition_matrix": plan.transition.tolist()})}

    of_labels = "their labels" if known is None or known.all() else f"the {known.sum()} labels with known truth"
    label_note = "labels as given (" if flipped is None else (
        f"{flipped} of {of_labels} {'flipped' if dataset.given is None else 'wrong'} ({files.name_of_noise(settings)}, ")
    if settings.treated_as and not path.name.startswith("Verify_Theory"):
        label_note += f"treated as {settings.treated_as}, "
    ends_early = settings.patience and settings.method is None
    of_epochs = f"at most {settings.epochs}" if ends_early else settings.epochs
    print(f"{path.name.split('_seed')[0]} on {len(y_noisy)} samples of {settings.dataset}, {label_note}seed "
          f"{settings.seed}); {settings.architecture}, {of_epochs} epochs, {settings.backend} on "
          f"{this_session['device']}; files in {path.parent.absolute()}", flush=True)
    return Started(settings=settings, dataset=dataset, index=index, y_noisy=y_noisy, resumed=resumed, save_checkpoint=save,
                   provenance=provenance)


def check_unchanged(settings, source):
    """Raise UserError unless the files of a source.Source are those that the Settings of a run identify.

    Called after they are read, so that nothing is trained on that has changed while it was read. Nothing is read later.
    """
    changed = []
    if source.path is not None and load.facts(source).checksum != settings.dataset_checksum:
        changed.append(source.path)
    if source.features is not None and feature_file.checksum(source.features) != settings.features_checksum:
        changed.append(source.features)
    if source.test_list is not None and load.test_checksum(source) != settings.test_checksum:
        changed.append(source.test_list)
    if source.decisions and decisions.checksum(source.decisions) != settings.decisions:
        changed += source.decisions
    if changed:
        raise utils.UserError(f"{' or '.join(changed)}: changed since the command started; rerun the same command")


def as_written(dataset, labels):
    """Return labels, int [n], as the text in a run's CSV."""
    return (labels if dataset.class_names is None else dataset.class_names[labels]).astype(str)


# --- provenance -------------------------------------------------------------------------------------------------------

def session(keras_version, backend_version, device):
    """Return what this process adds to a run's provenance: versions, device and code revision, a dict for JSON."""
    versions = {"project": revision.version(), "python": platform.python_version(), "keras": keras_version,
                os.environ["KERAS_BACKEND"]: backend_version}
    versions |= {name: metadata.version(name) for name in ("numpy", "scikit-learn", "pandas")}
    return {"versions": versions, "device": device, "code_revision": revision.code_revision()}
