"""The settings of a run: they determine its result, and identify the run when it is named, found or resumed."""
import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run of any script; a setting that a run does not have is None, and not in its JSON.

    dataset_checksum, labels_checksum, noise_checksum, architecture_checksum, features_checksum, test_checksum and
    selection_checksum identify the content of what a run reads; decisions identifies the decisions of a person
    (`decisions.checksum`).
    """

    # The labels. noise_ratio: None for labels as given; treated_as: the pattern that INCV assumes for a matrix in a file.
    dataset: str | None = None
    noise_pattern: str | None = None
    noise_ratio: float | None = None
    seed: int | None = None
    label_set: str | None = None
    labels_checksum: str | None = None
    noise_checksum: str | None = None
    treated_as: str | None = None
    subset: int | None = None
    dataset_checksum: str | None = None
    features: str | None = None
    features_checksum: str | None = None
    # Training. bn_momentum: of batch normalisation; schedule: when the learning rate drops, in words; patience: of INCV's
    # trainings (utils.next_learning_rate), None for the published schedule; environment: the variables of `utils.environment`,
    # which only a run has for which one is set.
    architecture: str | None = None
    architecture_checksum: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    patience: int | None = None
    precision: str | None = None
    bn_momentum: float | str | None = None
    schedule: str | None = None
    backend: str | None = None
    threads: int | None = None
    environment: str | None = None
    # Of INCV.py and INCV_main.py.
    iterations: int | None = None
    label_issues: bool | None = None
    method: str | None = None
    incv_epochs: int | None = None
    assumed_ratio: float | None = None
    transition: str | None = None
    score_in_inference: bool | None = None
    selection: str | None = None
    selection_differs: str | None = None
    selection_checksum: str | None = None
    # Of Verify_Theory.py.
    augmentation: bool | None = None
    both_halves: bool | None = None
    # Options of custom datasets.
    label: str | None = None
    true_label: str | None = None
    group: str | None = None
    drop: list | None = None
    decimal: str | None = None
    decisions: str | None = None
    image_size: int | None = None
    images: str | None = None
    classes: int | None = None
    test_list: str | None = None
    test_images: str | None = None
    test_checksum: str | None = None

    names: tuple = dataclasses.field(default=(), repr=False)  # of the settings that the run has, in the order of its JSON

    @classmethod
    def from_json(cls, found):
        """Return the settings in a dict; ValueError for one that no run has."""
        unknown = set(found) - {field.name for field in dataclasses.fields(cls)} | set(found) & {"names"}
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
        return cls(**found, names=tuple(found))

    def to_json(self):
        """Return the settings that the run has, as a dict for JSON."""
        return {name: getattr(self, name) for name in self.names}

    def having(self, **settings):
        """Return these settings with some replaced or added."""
        return dataclasses.replace(self, **settings, names=tuple(dict.fromkeys([*self.names, *settings])))

    def differences(self, found):
        """Return how other settings differ from these, in words; "" if they do not."""
        names = dict.fromkeys([*self.names, "environment"])
        return ", ".join(f"{name} {getattr(found, name)}, not {getattr(self, name)}" for name in names
                         if getattr(self, name) != getattr(found, name))
