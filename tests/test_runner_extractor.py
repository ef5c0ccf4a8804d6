"""A network turns images into vectors as it was trained to, or one line says why it cannot."""
import inspect
import sys

import keras
import numpy as np
import pytest
from keras import layers

from incv import registry, utils
from incv.custom_data import image_stream
from incv.custom_data.source import Network
from incv.runner import extractor, feature_cache, pretrained

IMAGES = np.random.default_rng(0).random((extractor.BATCH, 8, 8, 1), dtype=np.float32)


def extractor_of(folder, layer, shape=(8, 8, 1), name="net.keras", pixels=None):
    """The extractor of a saved network of one input and these layers."""
    images = keras.Input(shape)
    keras.Model(images, layer(images)).save(folder / "net.keras")
    return extractor.Extractor(Network(name=name, file=str(folder / "net.keras"), checksum="", pixels=pixels, width=None,
                                       made_from="", of_images=None))


def refused(words, *arguments, **options):
    with pytest.raises(utils.UserError) as error:
        extractor_of(*arguments, **options)
    assert words in str(error.value) and "\n" not in str(error.value), str(error.value)


def test_a_saved_network_gets_pixels_from_0_to_1(tmp_path):
    network = extractor_of(tmp_path, layers.Flatten())
    assert network.width == 64 and np.allclose(network(IMAGES), IMAGES.reshape(len(IMAGES), 64))


def test_a_network_for_any_size_gets_the_usual_one_or_image_size(tmp_path):
    assert extractor_of(tmp_path, layers.GlobalAveragePooling2D(), (None, None, 3)).shape == (224, 224, 3)
    assert extractor_of(tmp_path, layers.GlobalAveragePooling2D(), (None, None, 3), pixels=64).shape == (64, 64, 3)
    refused("remove --image_size, or give --image_size 8", tmp_path, layers.Flatten(), pixels=64)


def test_arrays_are_enlarged_and_grey_ones_get_three_channels(tmp_path):
    network = extractor_of(tmp_path, layers.GlobalAveragePooling2D(), (16, 16, 3))
    fitted = network.fitting(IMAGES)
    assert fitted.shape == (len(IMAGES), 16, 16, 3) and (fitted[..., 0] == fitted[..., 2]).all()
    assert 0 <= fitted.min() < fitted.max() <= 1 and np.abs(fitted.mean() - IMAGES.mean()) < 0.02
    assert (network.fitting(fitted) == fitted).all()
    with pytest.raises(utils.UserError, match="takes images of 3 channels, these have 2"):
        network.fitting(IMAGES[..., [0, 0]])


def test_networks_that_return_no_vectors_are_refused(tmp_path):
    refused("it must return a vector", tmp_path, layers.Conv2D(3, 3))
    refused("expects pixels from 0 to 255, but they are in [0, 1] here", tmp_path, lambda images: layers.Flatten()(
        layers.Rescaling(1 / 255)(images)))
    assert extractor_of(tmp_path, lambda images: layers.Flatten()(layers.Rescaling(1 / 255)(layers.Rescaling(255)(images))))
    refused("must have one input", tmp_path, layers.Dense(3), shape=(8,))


def test_vectors_that_are_no_numbers_are_refused(tmp_path):
    network = extractor_of(tmp_path, lambda images: layers.Flatten()(layers.Rescaling(1e38)(layers.Rescaling(1e38)(images))))
    stream = image_stream.of_arrays([IMAGES[:3]], {"rows": np.arange(3)}, 1)
    request = pretrained.Request(network=Network(name="net.keras", file="", checksum="", pixels=None, width=None, made_from="",
                                                 of_images=None), stream=stream, target=tmp_path / "x.npz", made_from="")
    with pytest.raises(utils.UserError, match="returns NaN or infinite values for image 0"):
        feature_cache._vectors(request, network, list(IMAGES[:3]), extractor.BATCH, 0)


# --- keras.applications -----------------------------------------------------------------------------------------------

def test_weights_of_another_network_are_refused_and_unpublished_ones_told(tmp_path):
    keras.applications.MobileNetV3Small(weights=None, include_top=False, input_shape=(32, 32, 3)).save(tmp_path / "w.h5")
    network = Network(name="MobileNetV3Small", file=str(tmp_path / "w.h5"), checksum="", pixels=32, width=576, made_from="",
                      of_images=None)
    found = extractor.Extractor(network)
    assert found.width == registry.PRETRAINED["MobileNetV3Small"].features and found.shape == (32, 32, 3)
    assert "is not the file that Keras publishes (its MD5 differs)" in pretrained.warning_of_weights(network)
    other = Network(name="MobileNetV2", file=str(tmp_path / "w.h5"), checksum="", pixels=32, width=1280, made_from="",
                    of_images=None)
    with pytest.raises(utils.UserError, match="w.h5: not the weights of this network, or damaged"):
        extractor.Extractor(other)
    assert pretrained.warning_of_weights(other) == ""  # Keras publishes no checksum of this file


@pytest.mark.parametrize("name", registry.PRETRAINED)
def test_files_are_named_as_in_keras(name):
    """Their hashes too. The name itself is put together there; what is put together is in the test of MobileNetV2."""
    import keras

    known = registry.PRETRAINED[name]
    build = getattr(keras.applications, name)
    source = inspect.getsource(sys.modules[build.__module__])
    if "WEIGHTS_HASHES" not in source:
        source += inspect.getsource(sys.modules["keras.src.applications.resnet"])
    source += inspect.getsource(sys.modules["keras.src.applications.resnet"]) if known.folder == "resnet" else ""
    assert f"/{known.folder}/" in source and (known.hash is None or known.hash.split(":")[1] in source)
    assert callable(getattr(keras.applications, known.module).preprocess_input)
