"""The models in saved_models/ match their README, by every interface."""

import io
import json
import pathlib
import subprocess
import sys
import zipfile

import climate
import keras
import numpy as np
import pytest
from PIL import Image

from keras_coordconv.experiments.datasets import not_so_clevr
from keras_coordconv.experiments.datasets import scattered_mnist
from keras_coordconv.experiments.datasets import sort_of_clevr
from keras_coordconv.experiments.evaluation import detection
from keras_coordconv.experiments.evaluation.coverage import coverage
from keras_coordconv.experiments.models import actor_critic
from keras_coordconv.experiments.models import coordinate_classification
from keras_coordconv.experiments.models import gan
from keras_coordconv.experiments.models import region_proposal
from keras_coordconv.experiments.models import rendering
from keras_coordconv.experiments.reinforcement import a2c
from keras_coordconv.experiments.reinforcement.environments import (
    make_environments,
)
from keras_coordconv.serving import ServingClient
from keras_coordconv.serving import check

pytestmark = pytest.mark.tensorflow_backend

FOLDER = pathlib.Path(__file__).parents[2] / "saved_models"
OUTPUTS = {
    "clevr_generator": gan.serving_outputs,
    "climate": climate.serving_outputs,
    "coordinate_classification": coordinate_classification.serving_outputs,
    "coordinate_regression": lambda location: {"location": location},
    "rendering": rendering.serving_outputs,
    "coordinate_classification_conv": coordinate_classification.serving_outputs,
    "coordinate_regression_conv": lambda location: {"location": location},
    "rendering_conv": rendering.serving_outputs,
    "scattered_mnist_detector": lambda outputs: outputs,
    "seaquest_policy": actor_critic.serving_outputs,
}


def version_of(text):
    return tuple(int(part) for part in text.split(".")[:2])


def keras_model(name):
    path = FOLDER / name / "model.keras"
    with zipfile.ZipFile(path) as archive:
        saved_with = json.loads(archive.read("metadata.json"))["keras_version"]
    if version_of(saved_with) > version_of(keras.__version__):
        pytest.skip(f"{path.name} was saved with a newer Keras, {saved_with}")
    model = keras.saving.load_model(path, compile=False)
    if name == "scattered_mnist_detector":
        model = region_proposal.detector(model, iou_threshold=0.5)
    return lambda inputs: OUTPUTS[name](model.predict_on_batch(inputs))


def test_keras_loads_them_as_the_readme_says():
    statement = "import keras_coordconv.experiments"
    assert f"after\n`{statement}`" in (FOLDER / "README.md").read_text()
    program = (
        f"import sys, keras\n{statement}\n"
        "for path in sys.argv[1:]:\n"
        "    keras.saving.load_model(path, compile=False)\n"
    )
    paths = list(FOLDER.glob("*/model.keras"))
    assert len(paths) == len(OUTPUTS)
    command = [sys.executable, "-c", program, *paths]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_command_line_exports_a_model_of_the_experiments(tmp_path):
    path = FOLDER / "scattered_mnist_detector/model.keras"
    command = [
        *(sys.executable, "-m", "keras_coordconv.serving"),
        *("export", path, tmp_path / "detector"),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout.split() == [f"{tmp_path}/detector/1"], result.stderr


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("tensorflow_serving")
    from serving import mock_server

    server = mock_server.MockServer(FOLDER)
    yield server
    server.stop()


def predict_in_session(name, inputs, server):
    (answer,) = check.predict(FOLDER / name / "1", [("tensor", inputs)])
    return answer


def predict_by_rest(name, inputs, server):
    return ServingClient(server.rest).predict(name, inputs, "tensor")


def predict_by_grpc(name, inputs, server):
    return ServingClient(server.grpc).predict(name, inputs, "tensor")


def draw_latent(random, count):
    return random.uniform(-1, 1, (count, 16)).astype("float32")


@pytest.mark.parametrize(
    "predict", [predict_in_session, predict_by_rest, predict_by_grpc]
)
@pytest.mark.parametrize("name", OUTPUTS)
def test_equal_to_the_keras_model(name, predict, server):
    expected = keras_model(name)
    for size in (1, 2, 7, 32):
        random = np.random.default_rng(size)
        locations = random.choice(not_so_clevr.locations(), size)
        if name.startswith("coordinate_regression"):
            inputs = {"image": not_so_clevr.draw_centers(locations)}
        elif name == "clevr_generator":
            inputs = {"latent": draw_latent(random, size)}
        elif name == "climate":
            inputs = {
                "relief": random.uniform(size=(size, 12, 15, 3)),
                "affine": random.normal(size=(size, 2, 3)) / 10,
            }
            inputs = {key: x.astype("float32") for key, x in inputs.items()}
        elif name == "scattered_mnist_detector":
            inputs = {"image": not_so_clevr.draw_squares(locations)}
        elif name == "seaquest_policy":
            shape = (size, 4, 84, 84)
            inputs = {"observation": random.integers(0, 256, shape, "uint8")}
        else:
            inputs = {"location": locations.astype("float32")}
        right = expected(
            inputs if len(inputs) > 1 else next(iter(inputs.values()))
        )
        found = predict(name, inputs, server)
        for file, image in zip(
            found.pop("image_bytes", ()), right.get("image", ()), strict=False
        ):
            decoded = np.asarray(Image.open(io.BytesIO(file)), float)
            assert np.abs(decoded - 255 * np.asarray(image)).max() <= 0.51
        assert set(found) == set(right)
        for key, values in right.items():
            assert found[key].shape == tuple(values.shape)
            np.testing.assert_allclose(found[key], values, atol=1e-5)


def test_regression_from_image_files(server):
    files = []
    for x, y in ((40, 22), (7, 59)):
        canvas = Image.new("L", (64, 64))
        canvas.putpixel((x, y), 255)
        buffer = io.BytesIO()
        canvas.save(buffer, "png")
        files.append(buffer.getvalue())
    for address in (server.rest, server.grpc):
        found = ServingClient(address).predict(
            "coordinate_regression", {"image_bytes": files}
        )
        np.testing.assert_allclose(
            64 * found["location"], [[40, 22], [7, 59]], atol=0.5
        )


@pytest.mark.parametrize("name", OUTPUTS)
def test_warm_up_requests_succeed(name):
    pytest.importorskip("tensorflow_serving")
    from keras_coordconv.serving import warmup

    requests = warmup.read_warmup(FOLDER / name / "1")
    card = json.loads(
        (FOLDER / name / "1/assets.extra/model_card.json").read_text()
    )
    assert len(requests) == len(card["signatures"]) * len(card["batch_sizes"])
    answers = check.predict(FOLDER / name / "1", requests)
    for (_, inputs), answer in zip(requests, answers, strict=True):
        size = len(next(iter(inputs.values())))
        assert {len(array) for array in answer.values()} == {size}


def test_models_are_small_and_configured():
    text = (FOLDER / "models.config").read_text()
    for name in OUTPUTS:
        assert f'base_path: "/models/{name}"' in text
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20_000_000


def predict_everywhere(name, make_input):
    import tensorflow as tf

    model = tf.saved_model.load(str(FOLDER / name / "1"))
    answer = model.signatures["tensor"]
    for centers in np.array_split(not_so_clevr.locations(), 49):
        key, values = make_input(centers)
        found = answer(**{key: tf.constant(values, tf.float32)})
        yield centers, {name: x.numpy() for name, x in found.items()}


def test_coordinate_classification_is_correct_everywhere():
    for centers, found in predict_everywhere(
        "coordinate_classification", lambda centers: ("location", centers)
    ):
        np.testing.assert_array_equal(found["column"], centers[:, 0])
        np.testing.assert_array_equal(found["row"], centers[:, 1])
        np.testing.assert_array_equal(
            found["probabilities"].argmax(axis=-1),
            not_so_clevr.pixel_index(centers),
        )


def test_coordinate_regression_is_correct_everywhere():
    for centers, found in predict_everywhere(
        "coordinate_regression",
        lambda centers: ("image", not_so_clevr.draw_centers(centers)),
    ):
        np.testing.assert_allclose(64 * found["location"], centers, atol=0.5)


def test_rendering_is_correct_everywhere():
    for centers, found in predict_everywhere(
        "rendering", lambda centers: ("location", centers)
    ):
        np.testing.assert_array_equal(
            found["image"] > 0.5, not_so_clevr.draw_squares(centers) > 0.5
        )


def test_generator_draws_objects_at_many_positions():
    latent = draw_latent(np.random.default_rng(5), 500)
    (answer,) = check.predict(
        FOLDER / "clevr_generator/1", [("tensor", {"latent": latent})]
    )
    images = np.round(255 * answer["image"]).astype("uint8")
    numbers = coverage(images, sort_of_clevr.load_arrays("test", 500)["image"])
    assert numbers["both_objects"] > 0.6
    assert min(numbers["entropy_red"], numbers["entropy_blue"]) > 2.5


def test_detector_generalizes_to_other_digits():
    pytest.importorskip("sklearn")
    import tensorflow as tf

    digits = scattered_mnist.load_stand_in("test")
    examples = scattered_mnist.load_arrays(digits, "test", limit_examples=100)
    model = tf.saved_model.load(str(FOLDER / "scattered_mnist_detector/1"))
    found = model.signatures["tensor"](image=tf.constant(examples["image"]))
    precision = detection.average_precision(
        found["boxes"].numpy(),
        found["scores"].numpy(),
        np.clip(examples["boxes"], 0, 64),
    )
    assert precision["ap50"] > 0.5


def test_policy_beats_random_play():
    (answer,) = check.predict(
        FOLDER / "seaquest_policy/1",
        [("tensor", {"observation": np.zeros((1, 4, 84, 84), "uint8")})],
    )
    assert answer["probabilities"].shape == (1, 18)
    model = keras.saving.load_model(
        FOLDER / "seaquest_policy/model.keras", compile=False
    )
    scores, _ = a2c.play_games(model, make_environments("Seaquest", 8), seed=5)
    assert scores.mean() > 200  # Random play scores about 62.
