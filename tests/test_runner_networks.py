"""The custom network of a run: its weights follow from the seed, and an unsuitable one is one line."""
import re

import pytest

from incv import utils

utils.start_backend(threads=2)

from incv.runner import networks  # noqa: E402


@pytest.mark.parametrize("function, words", [
    ("softmax", "ends in a softmax: it must end in logits"), ("inner_softmax", "ends in a softmax"),
    ("rectified", "ends in relu: it must end in logits"), ("bounded", "ends in sigmoid: it must end in logits"),
    ("seven", "to (None, 7): it must be from (None, 8, 8, 1) to (None, 10)"), ("large", "rejects samples of shape (8, 8, 1)"),
    ("layer", "returned Dense: it must return a keras.Model"), ("half", "dtype=\"float32\""),
    ("fails", "net.py, line 45: raises IndexError: list index out of range")])
def test_an_unsuitable_network_is_one_line(loaded, function, words):
    with pytest.raises(utils.UserError, match=re.escape(words)) as error:
        networks.build_custom(loaded(function), (8, 8, 1), 10, 0)
    assert "\n" not in str(error.value)


def test_log_probabilities_are_logits(loaded):
    assert networks.last_activation(networks.build_custom(loaded("log_softmax"), (8, 8, 1), 10, 0)) == "log_softmax"


def test_weights_follow_from_the_seed_alone(loaded):
    """Though the function does not use it."""
    name = loaded("tiny")
    first, again, other = (networks.build_custom(name, (8, 8, 1), 10, seed).get_weights() for seed in (5, 5, 6))
    assert all((a == b).all() for a, b in zip(first, again, strict=True)) and (first[0] != other[0]).any()
