"""A network that turns images into feature vectors: of keras.applications, a .keras file, or a function in a file."""

import keras
import numpy as np

from incv import registry, utils
from incv.runner import custom_network

PIXELS = 224  # a side, for networks that take any size
BATCH = 16  # with 32, MobileNetV2 at 224 x 224 takes 1.5 GB


class Extractor:
    """A network from images to vectors.

    Parameters
    ----------
    network : source.Network

    Attributes
    ----------
    shape : tuple
        (height, width, channels) of its images.
    width : int
        The length of a vector.
    """

    def __init__(self, network):
        self.what = f"--features {network.name}"
        known = registry.PRETRAINED.get(network.name)
        keras.utils.set_random_seed(0)  # whatever draws: the same vectors after a kill
        if known is not None:
            self.model, self.shape = self._published(network, known)
        else:
            self.model, self.shape = self._custom(network)
            _refuse_scale(self.what, self.model)
        self.prepared = known and getattr(keras.applications, known.module).preprocess_input
        self.width = self(np.zeros((BATCH, *self.shape), dtype=np.float32)).shape[1]

    def __call__(self, images):
        """Return the vectors, float32 [BATCH, width], of images, float32 [BATCH, *shape] in [0, 1]."""
        x = self.prepared(255 * images) if self.prepared else images
        vectors = np.asarray(self.model.predict_on_batch(x))
        if vectors.ndim != 2 or len(vectors) != len(images):
            raise utils.UserError(f"{self.what}: returns arrays of shape {vectors.shape[1:]} per image: it must return a "
                                  f"vector; end it with keras.layers.GlobalAveragePooling2D or Flatten")
        return vectors.astype(np.float32)

    def fitting(self, images):
        """Return images, float32 [n, height, width, channels] in [0, 1], with the shape of the network's."""
        if images.shape[3] == 1 and self.shape[2] == 3:
            images = np.repeat(images, 3, axis=3)
        if images.shape[3] != self.shape[2]:
            raise utils.UserError(f"{self.what}: takes images of {self.shape[2]} channels, these have {images.shape[3]}: give "
                                  f"FILE.py:FUNCTION, a network for such images, or FILE.npz")
        if images.shape[1:] != self.shape:
            images = np.asarray(keras.ops.image.resize(images, self.shape[:2], interpolation="bicubic", antialias=True))
        return np.clip(images, 0, 1)

    def _published(self, network, known):
        shape = (network.pixels, network.pixels, 3)
        try:
            return getattr(keras.applications, network.name)(
                weights=network.file, include_top=False, pooling="avg", input_shape=shape), shape
        except Exception as error:  # whatever h5py and Keras raise
            raise utils.UserError(
                f"{self.what}: {network.file}: not the weights of this network, or damaged ({utils.first_line(error)[:200]}): "
                f"remove this file to download it again, or give vectors computed elsewhere, --features FILE.npz") from None

    def _custom(self, network):
        if network.file.endswith(".keras"):
            try:
                model = keras.models.load_model(network.file, compile=False)
            except Exception as error:  # whatever a damaged file raises
                raise utils.UserError(f"{self.what}: {network.file} cannot be read ({utils.first_line(error)[:200]}); save it "
                                      f"again by model.save, or give FILE.py:FUNCTION") from None
        else:
            custom_network.load(network.file, network.name, custom_network.find(
                f"{network.file}:{network.name.rpartition(':')[2]}", "features")[1]["architecture_checksum"])
            model = custom_network.build(network.name)
        if not isinstance(model, keras.Model):
            raise utils.UserError(f"{self.what}: returned {type(model).__name__}: it must return a keras.Model, images to "
                                  f"vectors")
        inputs = getattr(model, "inputs", None)
        if not inputs or len(inputs) != 1 or len(inputs[0].shape) != 4 or len(model.outputs) != 1:
            raise utils.UserError(f"{self.what}: must have one input, keras.Input((height, width, channels)), and one output")
        height, width, channels = (found or usual for found, usual in zip(
            inputs[0].shape[1:], (network.pixels or PIXELS, network.pixels or PIXELS, 3), strict=True))
        if network.pixels and (height, width) != (network.pixels, network.pixels):
            raise utils.UserError(f"{self.what}: takes images of {height} × {width} pixels: remove --image_size, or give "
                                  f"--image_size {height}")
        return model, (height, width, channels)


def _refuse_scale(what, model):
    """Raise UserError if a custom network begins by scaling pixels from 0 to 255, which are in [0, 1] here."""
    scale = 1.0
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Rescaling):
            scale *= float(np.mean(layer.scale))
    if scale < 0.02:
        raise utils.UserError(f"{what}: its Rescaling layer expects pixels from 0 to 255, but they are in [0, 1] here: begin "
                              f"the network with keras.layers.Rescaling(255)")


