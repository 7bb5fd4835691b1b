import keras

from segflow.train.cost import floating_point_operations


def test_a_convolution_costs_two_operations_a_weight_and_place(capfd):
    """16 x 24 places, 3 x 3 x 3 weights a filter, 8 filters, and a bias each."""
    pixels = keras.Input((16, 24, 3))
    model = keras.Model(pixels, keras.layers.Conv2D(8, 3, padding="same")(pixels))
    assert floating_point_operations(model) == 16 * 24 * 8 * (2 * 27 + 1)
    said = capfd.readouterr()
    assert said.out == ""
    assert "deprecated" not in said.err


def test_layers_add_up():
    pixels = keras.Input((16, 24, 3))
    hidden = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(pixels)
    model = keras.Model(pixels, keras.layers.Conv2D(4, 1, use_bias=False)(hidden))
    assert floating_point_operations(model) == 8 * 12 * 2 * (27 * 8 + 8 * 4)


def test_products_of_tensors_count_as_the_multiplications_and_additions_they_are():
    """What attention is made of, in one head of 5 channels over 7 places."""
    x = keras.Input((7, 5))
    scores = keras.ops.einsum("bic,bjc->bij", x, x)
    model = keras.Model(x, keras.ops.einsum("bij,bjc->bic", scores, x))
    assert floating_point_operations(model) == 2 * (7 * 7 * 5) * 2
