"""The architectures that tf.keras.applications lacks, against published figures; arguments of those that it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from bench.catalog.lookup import model_card  # noqa: E402
from bench.errors import ModelError  # noqa: E402
from bench.graphs.architectures import find_architecture, inception_v4, resnet50_v15  # noqa: E402
from bench.graphs.keras import export_application  # noqa: E402
from bench.graphs.savedmodel import read_signature  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:non-integer arguments to randrange:DeprecationWarning")


def trainable(network: Any) -> int:
    return sum(int(np.prod(weights.shape)) for weights in network.trainable_weights)


def test_resnet_50_v15_is_as_large_as_torchvision_says() -> None:
    assert trainable(resnet50_v15((224, 224, 3))) == 25_557_032


def test_inception_v4_is_as_large_as_timm_says() -> None:
    assert trainable(inception_v4((299, 299, 3))) == 42_679_816


def test_v15_has_its_strides_in_3x3_convolutions() -> None:
    network = resnet50_v15((64, 64, 3), classes=10)
    convolutions = [layer for layer in network.layers if isinstance(layer, tf.keras.layers.Conv2D)]
    strided = [layer.kernel_size for layer in convolutions if layer.strides == (2, 2)]
    assert strided == [(7, 7), *[(3, 3), (1, 1)] * 3] or strided == [(7, 7), *[(1, 1), (3, 3)] * 3]
    on_main_path = [layer for layer in convolutions if layer.strides == (2, 2) and layer.kernel_size == (3, 3)]
    assert [layer.filters for layer in on_main_path] == [128, 256, 512]


def test_inception_v4_shrinks_its_grid_as_in_the_paper() -> None:
    network = inception_v4((299, 299, 3))
    sizes = [tuple(layer.output.shape[1:]) for layer in network.layers if "concatenate" in layer.name]
    for grid in ((35, 35, 384), (17, 17, 1024), (8, 8, 1536)):
        assert grid in sizes


@pytest.mark.parametrize("name", ["mobilenet_v2", "nasnet_mobile"])
def test_a_card_s_architecture_has_the_classes_that_it_says(name: str) -> None:
    card = model_card(name)
    build = find_architecture(str(card.source.keras_application))
    assert build is not None and card.image_shape is not None
    network = build(input_shape=(*card.image_shape, 3), **card.source.arguments)
    assert network.output_shape == (None, 1001)


def test_arguments_tell_models_apart_and_wrong_ones_are_named(tmp_path: Path) -> None:
    narrow = export_application("MobileNet", {"alpha": 0.25, "classes": 7}, (32, 32), 0, tmp_path)
    assert read_signature(narrow).outputs[0].shape == (None, 7)
    assert export_application("MobileNet", {"alpha": 0.25, "classes": 8}, (32, 32), 0, tmp_path) != narrow
    with pytest.raises(ModelError, match=r"architecture MobileNet\(depth=3\) at \[32, 32\]: .*depth"):
        export_application("MobileNet", {"depth": 3}, (32, 32), 0, tmp_path)
    with pytest.raises(ModelError, match=r"no architecture 'InceptionV5'.*did you mean 'InceptionV"):
        export_application("InceptionV5", {}, (299, 299), 0, tmp_path)
