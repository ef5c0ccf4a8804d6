"""The network of the tests that ask for any network: it starts in a third of resnet8's time."""
import keras


def small(input_shape, num_classes, seed):
    """Build one convolution, batch normalisation and pooling over the corners that are left."""
    inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(16, 3, strides=2, padding="same", kernel_initializer=keras.initializers.HeNormal(seed))(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes, kernel_initializer=keras.initializers.GlorotUniform(seed))(x))
