import io
import json
import pathlib
import resource
import subprocess
import sys
import time
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

import keras_coordconv
from keras_coordconv import _files
from keras_coordconv.experiments.models import coordinate_classification
from keras_coordconv.serving import Signature
from keras_coordconv.serving import check
from keras_coordconv.serving import encoded_image_signature
from keras_coordconv.serving import export
from keras_coordconv.serving import export_for_serving
from keras_coordconv.serving import with_png
from keras_coordconv.serving.signatures import read_signatures
from keras_coordconv.serving.signatures import tensor_signature

pytestmark = pytest.mark.tensorflow_backend

# As in a server: only TensorFlow, and the names in the signature.
SESSION = """
import sys
import numpy as np
import tensorflow as tf

folder, batches, results = sys.argv[1], np.load(sys.argv[2]), {}
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    loaded = tf.compat.v1.saved_model.load(session, ["serve"], folder)
    signature = loaded.signature_def["serving_default"]
    assert list(signature.inputs) == ["location"], signature.inputs
    feed = signature.inputs["location"].name
    for key, locations in batches.items():
        for name, output in signature.outputs.items():
            results[key + name] = session.run(output.name, {feed: locations})
np.savez(sys.argv[3], **results)
assert "keras_coordconv" not in sys.modules
"""


def small_model():
    inputs = keras.Input((None, None, 2), name="picture")
    x = keras_coordconv.CoordConv2D(3, 3, use_radius=True, name="features")(
        inputs
    )
    return keras.Model(inputs, x)


@pytest.fixture
def checked_in_process(monkeypatch):
    """Check exports in this process, which saves seconds per export."""
    monkeypatch.setattr(check, "predict_in_fresh_process", check.predict)


def files_below(folder):
    return sorted(
        path for path in pathlib.Path(folder).rglob("*") if path.is_file()
    )


def test_session_loader_matches_the_keras_model(tmp_path):
    model = coordinate_classification.coordconv_classifier()
    path = export_for_serving(
        model, tmp_path, outputs=coordinate_classification.serving_outputs
    )
    random = np.random.default_rng(0)
    batches = {
        str(size): random.uniform(4, 59, (size, 2)).astype("float32")
        for size in (1, 2, 7, 32)
    }
    np.savez(tmp_path / "batches.npz", **batches)
    subprocess.run(
        [
            *(sys.executable, "-c", SESSION, path),
            *(tmp_path / "batches.npz", tmp_path / "results.npz"),
        ],
        check=True,
    )
    results = np.load(tmp_path / "results.npz")
    for size, locations in batches.items():
        logits = model.predict_on_batch(locations)
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        np.testing.assert_allclose(
            results[f"{size}probabilities"],
            exponentials / exponentials.sum(axis=-1, keepdims=True),
            atol=1e-6,
        )
        pixel = logits.argmax(axis=-1)
        np.testing.assert_array_equal(results[f"{size}row"], pixel // 64)
        np.testing.assert_array_equal(results[f"{size}column"], pixel % 64)


@pytest.mark.usefixtures("checked_in_process")
def test_names_of_inputs_and_outputs(tmp_path):
    import tensorflow as tf

    path = export_for_serving(small_model(), tmp_path)
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    assert list(signature.structured_input_signature[1]) == ["picture"]
    assert list(signature.structured_outputs) == ["features"]


@pytest.mark.usefixtures("checked_in_process")
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_graphs_round_differently(tmp_path, policy):
    import tensorflow as tf

    keras.config.set_dtype_policy(policy)
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras_coordconv.CoordConv2D(8, 3, bias_initializer="normal"),
            keras.layers.Conv2D(8, 3, name="features"),
        ]
    )
    path = export_for_serving(model, tmp_path)
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    assert signature.structured_outputs["features"].dtype == tf.float32


@pytest.mark.usefixtures("checked_in_process")
def test_weights_are_stored_once(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras_coordconv.CoordConv2D(4000, 3)]
    )
    path = export_for_serving(model, tmp_path)
    size = sum(file.stat().st_size for file in files_below(path))
    assert size < 1.05 * 4 * model.count_params() + 300_000


@pytest.mark.usefixtures("checked_in_process")
def test_versions_count_up_and_are_never_overwritten(tmp_path):
    model = small_model()
    assert export_for_serving(model, tmp_path) == tmp_path / "1"
    assert export_for_serving(model, tmp_path, version=7) == tmp_path / "7"
    assert export_for_serving(model, tmp_path).name == "8"
    before = {path: path.read_bytes() for path in files_below(tmp_path)}
    with pytest.raises(ValueError, match="Received: version=7"):
        export_for_serving(model, tmp_path, version=7)
    assert {path: path.read_bytes() for path in files_below(tmp_path)} == before


def take(path):
    """As another export does."""
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_text("of another export")


@pytest.mark.parametrize("others", [1, 3])
def test_version_taken_during_the_export(tmp_path, monkeypatch, others):
    def predict(folder, requests):
        for number in range(others):
            take(tmp_path / f"{number + 1}")
        return check.predict(folder, requests)

    monkeypatch.setattr(check, "predict_in_fresh_process", predict)
    path = export_for_serving(small_model(), tmp_path)
    assert path == tmp_path / f"{others + 1}"
    assert len(list(tmp_path.iterdir())) == others + 1
    assert (tmp_path / "1/saved_model.pb").read_text() == "of another export"


@pytest.mark.parametrize("others", [1, 3])
@pytest.mark.usefixtures("checked_in_process")
def test_version_taken_at_the_last_moment(tmp_path, monkeypatch, others):
    publish = _files.publish

    def publish_later(folder, path):
        if int(path.name) <= others:
            take(path)
        publish(folder, path)

    monkeypatch.setattr(_files, "publish", publish_later)
    path = export_for_serving(small_model(), tmp_path)
    assert path == tmp_path / f"{others + 1}"
    assert len(list(tmp_path.iterdir())) == others + 1


@pytest.mark.parametrize("version", [1, 5])
@pytest.mark.usefixtures("checked_in_process")
def test_given_version_taken_during_the_export(tmp_path, monkeypatch, version):
    write_card = export._write_card

    def write_card_later(*arguments):
        take(tmp_path / f"{version}")
        write_card(*arguments)

    monkeypatch.setattr(export, "_write_card", write_card_later)
    with pytest.raises(ValueError, match=f"version={version}, which exists"):
        export_for_serving(small_model(), tmp_path, version)
    (path,) = files_below(tmp_path)
    assert path.read_text() == "of another export"


@pytest.mark.parametrize("version", [0, -1, "2", 1.5, True, 2**63, "../2"])
def test_bad_version(tmp_path, version):
    with pytest.raises(ValueError, match="Received: version="):
        export_for_serving(small_model(), tmp_path, version=version)


@pytest.mark.parametrize(
    "sizes",
    [(), (0,), (1, -1), (1.5,), ("a",), (True,), ("4 }\nx { value: 1",)],
)
def test_bad_batch_sizes(tmp_path, sizes):
    with pytest.raises(ValueError, match="Received: batch_sizes="):
        export_for_serving(small_model(), tmp_path, batch_sizes=sizes)
    assert not files_below(tmp_path)


@pytest.mark.parametrize("name", ["file", "file/below", "link", "link/below"])
def test_invalid_base_path(tmp_path, name):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="a file or a broken link"):
        export_for_serving(small_model(), tmp_path / name)
    assert files_below(tmp_path) == [tmp_path / "file"]


@pytest.mark.parametrize("value", [np.float32(1), {1, 2}, b"x", object()])
def test_card_that_is_not_serializable(tmp_path, value):
    with pytest.raises(ValueError, match="`card` must be JSON serializable"):
        export_for_serving(small_model(), tmp_path, card={"metrics": value})
    assert not files_below(tmp_path)


@pytest.mark.parametrize(
    "name", ["a b", "self", "1a", "_a", "a-b", "a.b", "class", "ä", "a:0"]
)
def test_input_names_that_tensorflow_does_not_keep(tmp_path, name):
    """TensorFlow fails for some names, and renames others, as in `arg_1a`."""
    inputs = keras.Input((2,), name=name)
    model = keras.Model(inputs, keras.layers.Dense(1, name="sum")(inputs))
    with pytest.raises(ValueError, match=f"Received: '{name}'"):
        export_for_serving(model, tmp_path)
    good = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    signature = tensor_signature(good)
    signatures = {"other": replace(signature, inputs={name: signature.inputs})}
    with pytest.raises(ValueError, match=f"Received: '{name}'"):
        export_for_serving(good, tmp_path, signatures=signatures)
    assert not files_below(tmp_path)


@pytest.mark.parametrize("name", ["", "__hidden", "two\nlines"])
def test_invalid_signature_names(tmp_path, name):
    model = small_model()
    signatures = {name: tensor_signature(model)}
    with pytest.raises(ValueError, match="A signature name must be"):
        export_for_serving(model, tmp_path, signatures=signatures)


def subclassed():
    class Plain(keras.Model):
        def call(self, inputs):
            return inputs

    return Plain()


@pytest.mark.parametrize(
    "make",
    [
        subclassed,
        lambda: keras.Sequential([keras.layers.Dense(1)]),
        lambda: keras.layers.Dense(1),
        lambda: "model.keras",
        lambda: None,
    ],
)
def test_models_that_cannot_be_served(tmp_path, make):
    with pytest.raises(ValueError, match="Functional or Sequential"):
        export_for_serving(make(), tmp_path)
    assert not files_below(tmp_path)


@pytest.mark.parametrize(
    "outputs",
    [lambda y: y, lambda y: {1: y}, lambda y: {"": y}, lambda y: None],
)
def test_invalid_outputs(tmp_path, outputs):
    with pytest.raises(ValueError, match="must return a dictionary"):
        export_for_serving(small_model(), tmp_path, outputs=outputs)
    assert not files_below(tmp_path)


def two_inputs(make):
    """Make a model of 2 a + b, whose inputs are `make(a, b)`."""
    a, b = keras.Input((2,), name="first"), keras.Input((2,), name="second")
    total = keras.layers.Add(name="sum")([2 * a, b])
    return keras.Model(make(a, b), {"total": total, "rest": a - b})


@pytest.mark.usefixtures("checked_in_process")
@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda a, b: [a, b], ["first", "second"]),
        (lambda a, b: {"left": a, "right": b}, ["left", "right"]),
        # Keras sorts the keys of dictionaries.
        (lambda a, b: {"z": a, "b": b}, ["z", "b"]),
        (lambda a, b: [{"z": a}, b], ["z", "second"]),
    ],
)
def test_names_are_the_keys_of_dictionaries(tmp_path, make, names):
    path = export_for_serving(two_inputs(make), tmp_path)
    table = read_signatures(path)["tensor"]
    assert set(table["inputs"]) == set(names)
    assert set(table["outputs"]) == {"total", "rest"}
    inputs = dict(zip(names, np.float32([[[1, 2]], [[3, 4]]]), strict=True))
    (answer,) = check.predict(path, [("tensor", inputs)])
    np.testing.assert_array_equal(answer["total"], [[5, 8]])
    np.testing.assert_array_equal(answer["rest"], [[-2, -2]])


def lookup_model():
    words = keras.Input((1,), dtype="string", name="words")
    lookup = keras.layers.StringLookup(vocabulary=["a", "b"], name="numbers")
    return keras.Model(words, lookup(words))


def nested_lookup_model():
    words = keras.Input((1,), dtype="string", name="words")
    inner = lookup_model()
    return keras.Model(words, {"numbers": inner(words)})


def text_model():
    words = keras.Input((1,), dtype="string", name="words")
    vectorize = keras.layers.TextVectorization(
        vocabulary=["a", "b"], output_sequence_length=1, name="numbers"
    )
    return keras.Model(words, vectorize(words))


@pytest.mark.usefixtures("checked_in_process")
@pytest.mark.parametrize(
    "make", [lookup_model, nested_lookup_model, text_model]
)
def test_models_with_tables(tmp_path, make):
    path = export_for_serving(make(), tmp_path)
    words = {"words": np.array([[b"b"], [b"a"], [b"other"]], object)}
    (answer,) = check.predict(path, [("tensor", words)])
    expected = make().predict_on_batch(np.array([["b"], ["a"], ["other"]]))
    expected = expected["numbers"] if isinstance(expected, dict) else expected
    np.testing.assert_array_equal(answer["numbers"], expected)


@pytest.mark.usefixtures("checked_in_process")
def test_tables_of_signatures_and_outputs(tmp_path):
    import tensorflow as tf

    def table(values):
        pairs = tf.lookup.KeyValueTensorInitializer(["a", "b"], values)
        return tf.lookup.StaticHashTable(pairs, -1.0)

    first, second = table([1.0, 2.0]), table([3.0, 4.0])
    inputs = keras.Input((1,), name="number")
    model = keras.Model(inputs, keras.layers.ReLU(name="same")(inputs))
    spec = tf.TensorSpec((None, 1), tf.string, "word")
    signature = Signature(
        {"word": spec},
        lambda tensors: {"number": first.lookup(tensors["word"])},
        lambda size, random=None: {"word": np.full((size, 1), b"b", object)},
    )
    path = export_for_serving(
        model,
        tmp_path,
        signatures={"serving_default": signature},
        outputs=lambda y: {
            "y": y,
            "b": second.lookup(tf.fill(tf.shape(y), "b")),
        },
    )
    words = {"word": np.array([[b"a"], [b"b"]], object)}
    (answer,) = check.predict(path, [("serving_default", words)])
    np.testing.assert_array_equal(answer["y"], [[1], [2]])
    np.testing.assert_array_equal(answer["b"], [[4], [4]])


@pytest.mark.parametrize("seeded", [True, False])
@pytest.mark.usefixtures("checked_in_process")
def test_random_outputs_are_not_compared(tmp_path, seeded):
    class Noise(keras.layers.Layer):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.seed = keras.random.SeedGenerator(0)

        def call(self, inputs):
            import tensorflow as tf

            shape = keras.ops.shape(inputs)
            if seeded:
                return inputs + keras.random.normal(shape, seed=self.seed)
            return inputs + tf.random.normal(shape)

    inputs = keras.Input((3,), name="numbers")
    model = keras.Model(inputs, {"noisy": Noise()(inputs), "plain": 2 * inputs})
    path = export_for_serving(model, tmp_path)
    numbers = {"numbers": np.ones((2, 3), "float32")}
    one, other = check.predict(path, [("tensor", numbers)] * 2)
    np.testing.assert_array_equal(one["plain"], 2 * numbers["numbers"])
    assert np.abs(one["noisy"] - other["noisy"]).min() > 0


def test_output_names_must_be_unique(tmp_path):
    inputs = keras.Input((2,))
    outputs = keras.layers.Dense(1, name="twice")
    model = keras.Model(inputs, [outputs(inputs), outputs(2 * inputs)])
    with pytest.raises(ValueError, match="must be unique"):
        export_for_serving(model, tmp_path)


def test_nothing_is_published_before_it_is_on_disk(tmp_path, monkeypatch):
    def fail(folder):
        assert (folder / "saved_model.pb").exists()
        raise OSError("no space left")

    monkeypatch.setattr(_files, "_flush_all", fail)
    with pytest.raises(OSError, match="no space left"):
        export_for_serving(small_model(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_failed_export_leaves_nothing(tmp_path):
    def broken(outputs):
        raise RuntimeError("broken outputs")

    with pytest.raises(RuntimeError, match="broken outputs"):
        export_for_serving(small_model(), tmp_path / "model", outputs=broken)
    assert not files_below(tmp_path)


def photo_model():
    inputs = keras.Input((12, 10, 3), name="image")
    x = keras_coordconv.CoordConv2D(4, 3, name="features")(inputs / 255)
    x = keras.layers.GlobalMaxPooling2D()(x)
    outputs = keras.layers.Dense(7, "softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs)


@pytest.mark.usefixtures("checked_in_process")
def test_encoded_images_are_decoded_and_resized_in_the_graph(tmp_path):
    import tensorflow as tf

    model = photo_model()
    path = export_for_serving(
        model,
        tmp_path,
        signatures={
            "serving_default": encoded_image_signature(
                model, value_range=(0, 255)
            )
        },
    )
    signatures = tf.saved_model.load(str(path)).signatures
    assert set(signatures) == {"serving_default", "tensor"}
    random = np.random.default_rng(0)
    same_size = random.integers(0, 256, (12, 10, 3), "uint8")
    larger = np.kron(same_size, np.ones((2, 2, 1), "uint8"))
    files = []
    for image in (same_size, larger):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "png")
        files.append(buffer.getvalue())
    found = signatures["serving_default"](image_bytes=tf.constant(files))
    expected = model.predict_on_batch(same_size[None].astype("float32"))
    np.testing.assert_allclose(
        found["probabilities"][:1], expected, rtol=1e-5, atol=1e-6
    )
    # Pillow's antialiased resize is an independent implementation.
    small = Image.fromarray(larger).resize((10, 12), Image.Resampling.BILINEAR)
    expected = model.predict_on_batch(np.asarray(small, "float32")[None])
    np.testing.assert_allclose(
        found["probabilities"][1:], expected, rtol=0.02, atol=1e-3
    )


@pytest.mark.usefixtures("checked_in_process")
@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1), (0, 255)])
def test_images_are_scaled_to_the_range(tmp_path, value_range):
    inputs = keras.Input((2, 2, 3), name="image")
    model = keras.Model(inputs, keras.layers.Identity(name="same")(inputs))
    images = encoded_image_signature(model, value_range=value_range)
    path = export_for_serving(
        model, tmp_path, signatures={"serving_default": images}
    )
    pixels = np.array([[[0, 51, 255], [102, 0, 0]], [[255] * 3, [1, 2, 3]]])
    file = encode(Image.fromarray(pixels.astype("uint8")), "png")
    request = {"image_bytes": np.array([file], object)}
    (answer,) = check.predict(path, [("serving_default", request)])
    black, white = value_range
    np.testing.assert_allclose(
        answer["same"][0], black + pixels / 255 * (white - black), atol=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "Pass either `value_range`"),
        (
            {"value_range": (0, 1), "preprocess": lambda image: image},
            "Pass either `value_range`",
        ),
        ({"value_range": (1, 1)}, r"Received: value_range=\(1, 1\)"),
        ({"value_range": 255}, "Received: value_range=255"),
        ({"value_range": (0, float("nan"))}, "nan"),
        # A user's file is not of the model's size.
        (
            {"preprocess": lambda image: image / 255},
            r"for files of any size\. For an image of shape \(21, 20, 3\)",
        ),
        (
            {"preprocess": lambda x: x / 255, "flag_damaged": True},
            "for files of any size",
        ),
    ],
)
def test_the_scale_of_images_must_be_given(arguments, text):
    with pytest.raises(ValueError, match=text):
        encoded_image_signature(photo_model(), **arguments)


def test_the_check_sends_files_of_other_sizes_and_formats(
    tmp_path, monkeypatch
):
    pytest.importorskip("tensorflow_serving")
    model = photo_model()
    sent = []

    def predict(folder, requests):
        sent.extend(requests)
        return check.predict(folder, requests)

    monkeypatch.setattr(check, "predict_in_fresh_process", predict)
    images = encoded_image_signature(model, value_range=(0, 255))
    photo = encode(PHOTO.resize((40, 30)), "jpeg")
    export_for_serving(
        model,
        tmp_path,
        signatures={"photos": images},
        warmup={"photos": {"image_bytes": [photo]}},
        batch_sizes=(2,),
    )
    files = [
        Image.open(io.BytesIO(file))
        for name, inputs in sent
        for file in inputs.get("image_bytes", ())
    ]
    found = {(file.format, file.size) for file in files}
    assert found == {
        *(("PNG", (10, 12)), ("JPEG", (20, 21)), ("JPEG", (40, 30)))
    }


def test_the_users_example_is_compared_with_the_keras_model(
    tmp_path, monkeypatch
):
    pytest.importorskip("tensorflow_serving")

    def predict(folder, requests):
        answers = check.predict(folder, requests)
        for (_, inputs), answer in zip(requests, answers, strict=True):
            if (inputs["image"] == 7).all():
                answer["probabilities"] += 0.01
        return answers

    monkeypatch.setattr(check, "predict_in_fresh_process", predict)
    with pytest.raises(RuntimeError, match="'probabilities' differs"):
        export_for_serving(
            photo_model(),
            tmp_path,
            warmup={"tensor": {"image": np.full((1, 12, 10, 3), 7.0)}},
        )
    assert not list(tmp_path.iterdir())


def encode(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


PHOTO = Image.new("RGB", (10, 12), (200, 30, 60))
DAMAGED = {
    "text": b"no image",
    "empty": b"",
    "null": bytes(500),
    "cut JPEG": encode(PHOTO, "jpeg")[:-40],
    "cut PNG": encode(PHOTO, "png")[:-30],
    "head of a JPEG": encode(PHOTO, "jpeg")[:20],
    "BMP": encode(PHOTO, "bmp"),
    "BMP with a palette": encode(PHOTO.quantize(4), "bmp"),
    "TIFF": encode(PHOTO, "tiff"),
}


@pytest.fixture(scope="module")
def flagged(tmp_path_factory):
    """The folder of an export, and its answers for `PHOTO` and for zeros."""
    model = photo_model()
    signatures = {
        "serving_default": encoded_image_signature(model, value_range=(0, 255)),
        "flagged": encoded_image_signature(
            model, value_range=(0, 255), flag_damaged=True
        ),
    }
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(check, "predict_in_fresh_process", check.predict)
        path = export_for_serving(
            model, tmp_path_factory.mktemp("flagged"), signatures=signatures
        )
    inputs = [np.asarray(PHOTO, "float32"), np.zeros((12, 10, 3), "float32")]
    return path, *model.predict_on_batch(np.stack(inputs))


@pytest.mark.parametrize("damaged", DAMAGED)
def test_damaged_files_are_flagged(flagged, damaged):
    path, right, zeros = flagged
    good = encode(PHOTO, "png")
    orders = ((1, 0, 1), (0, 1), (0,), (1,), (0, 0, 1, 1, 0))
    requests = [
        [good if is_good else DAMAGED[damaged] for is_good in order]
        for order in orders
    ]
    answers = check.predict(
        path,
        [
            ("flagged", {"image_bytes": np.array(files, object)})
            for files in requests
        ],
    )
    for order, answer in zip(orders, answers, strict=True):
        assert answer["is_image"].tolist() == [x == 1 for x in order]
        np.testing.assert_allclose(
            answer["probabilities"],
            [right if is_good else zeros for is_good in order],
            atol=1e-6,
        )


@pytest.mark.parametrize("damaged", DAMAGED)
def test_one_damaged_file_fails_a_request(flagged, damaged):
    import tensorflow as tf

    path, _, _ = flagged
    files = [encode(PHOTO, "png"), DAMAGED[damaged]]
    request = {"image_bytes": np.array(files, object)}
    with pytest.raises(tf.errors.InvalidArgumentError):
        check.predict(path, [("serving_default", request)])


def test_encoded_images_need_an_image_model():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"Received: \[\(None, 5\)\]"):
        encoded_image_signature(model, value_range=(0, 255))
    with pytest.raises(ValueError, match="Pass `size`"):
        encoded_image_signature(
            keras.Sequential([keras.Input((None, 8, 3)), keras.layers.ReLU()]),
            value_range=(0, 255),
        )


@pytest.mark.usefixtures("checked_in_process")
def test_outputs_as_png_files(tmp_path):
    inputs = keras.Input((8, 8, 3), name="pixels")
    model = keras.Model(inputs, keras.layers.Rescaling(0.5)(inputs))
    outputs = with_png(lambda image: {"image": image})
    path = export_for_serving(model, tmp_path / "png", outputs=outputs)
    pixels = np.random.default_rng(0).uniform(0, 2.2, (3, 8, 8, 3))
    (answer,) = check.predict(
        path, [("tensor", {"pixels": np.float32(pixels)})]
    )
    assert set(answer) == {"image", "image_bytes"}
    np.testing.assert_allclose(answer["image"], pixels / 2, rtol=1e-6)
    for file, right in zip(answer["image_bytes"], pixels, strict=True):
        image = Image.open(io.BytesIO(file))
        assert image.format == "PNG"
        found = np.asarray(image).astype(float)
        np.testing.assert_allclose(
            found, np.minimum(255 * right / 2, 255), atol=0.51
        )


def test_labels_are_looked_up_in_the_graph(tmp_path):
    import tensorflow as tf

    model = photo_model()
    labels = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu"]
    path = export_for_serving(model, tmp_path, labels=labels)
    answer = tf.saved_model.load(str(path)).signatures["tensor"]
    images = np.random.default_rng(0).uniform(0, 255, (3, 12, 10, 3))
    images = images.astype("float32")
    found = answer(image=tf.constant(images))
    order = np.argsort(-model.predict_on_batch(images), axis=-1)[:, :5]
    np.testing.assert_array_equal(found["class_ids"], order)
    np.testing.assert_array_equal(
        found["labels"].numpy().astype(str), np.array(labels)[order]
    )
    with pytest.raises(ValueError, match="Received: 2 labels"):
        export_for_serving(model, tmp_path, labels=["ant", "bee"])


@pytest.mark.usefixtures("checked_in_process")
def test_warmup_has_each_signature_at_each_batch_size(tmp_path):
    import tensorflow as tf

    prediction_log_pb2 = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2"
    )
    model = photo_model()
    path = export_for_serving(
        model,
        tmp_path / "photos",
        signatures={
            "serving_default": encoded_image_signature(
                model, value_range=(0, 255)
            )
        },
        warmup={"tensor": {"image": np.full((1, 12, 10, 3), 7.0)}},
        batch_sizes=(1, 4),
    )
    file = path / "assets.extra" / "tf_serving_warmup_requests"
    requests = [
        prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    ]
    shapes = {
        (
            request.model_spec.name,
            request.model_spec.signature_name,
            *(
                (name, tuple(axis.size for axis in tensor.tensor_shape.dim))
                for name, tensor in request.inputs.items()
            ),
        )
        for request in requests
    }
    assert shapes == {
        ("photos", "tensor", ("image", (1, 12, 10, 3))),
        ("photos", "tensor", ("image", (4, 12, 10, 3))),
        ("photos", "serving_default", ("image_bytes", (1,))),
        ("photos", "serving_default", ("image_bytes", (4,))),
    }
    for request in requests:
        if request.model_spec.signature_name == "tensor":
            assert (tf.make_ndarray(request.inputs["image"]) == 7).all()
    assert file.stat().st_size < 2000


def test_warmup_must_match_a_signature(tmp_path):
    with pytest.raises(ValueError, match="Received: 'tensor' with \\['x'\\]"):
        export_for_serving(
            small_model(), tmp_path, warmup={"tensor": {"x": np.zeros(1)}}
        )
    assert not files_below(tmp_path)


@pytest.mark.usefixtures("checked_in_process")
def test_model_card(tmp_path):
    model = photo_model()
    path = export_for_serving(
        model, tmp_path / "photos", card={"task": "photos", "layer": "conv"}
    )
    card = json.loads((path / "assets.extra/model_card.json").read_text())
    # 3 * 3 * (3 + 2) * 4 + 4 and 4 * 7 + 7
    assert card["parameters"] == 184 + 35
    assert (card["name"], card["task"], card["layer"]) == (
        *("photos", "photos"),
        "conv",
    )
    assert card["versions"]["keras"] == keras.__version__
    assert card["signatures"]["serving_default"] == {
        "inputs": {
            "image": {"dtype": "float32", "shape": [None, 12, 10, 3]},
        },
        "outputs": {
            "probabilities": {"dtype": "float32", "shape": [None, 7]},
        },
    }


@pytest.mark.usefixtures("checked_in_process")
def test_folded_export_matches_the_model(tmp_path):
    import tensorflow as tf

    model = photo_model()
    path = export_for_serving(model, tmp_path, fold_coordinates=True)
    loaded = tf.saved_model.load(str(path))
    images = np.random.default_rng(0).uniform(0, 255, (3, 12, 10, 3))
    images = images.astype("float32")
    np.testing.assert_allclose(
        loaded.signatures["tensor"](image=tf.constant(images))["probabilities"],
        model.predict_on_batch(images),
        atol=1e-5,
    )
    graph = loaded.signatures["tensor"].graph.as_graph_def()
    operations = {
        node.op
        for function in graph.library.function
        for node in function.node_def
    }
    assert "Conv2D" in operations and "ConcatV2" not in operations


def test_export_with_different_outputs_is_not_published(tmp_path):
    class Noisy(keras.layers.Layer):
        def call(self, inputs):
            # Different in the graph and in the Keras model.
            import tensorflow as tf

            return inputs + 1e-3 * (not tf.executing_eagerly())

    inputs = keras.Input((3,), name="numbers")
    model = keras.Model(inputs, Noisy(name="noisy")(inputs))
    with pytest.raises(RuntimeError, match="output 'noisy' differs"):
        export_for_serving(model, tmp_path / "model")
    assert not files_below(tmp_path)


def test_export_that_needs_xla_is_not_published(tmp_path):
    class Compiled(keras.layers.Layer):
        def call(self, inputs):
            import tensorflow as tf

            return tf.function(lambda x: 2 * x, jit_compile=True)(inputs)

    inputs = keras.Input((3,), name="numbers")
    model = keras.Model(inputs, Compiled()(inputs))
    with pytest.raises(RuntimeError, match="The model needs XLA"):
        export_for_serving(model, tmp_path / "model")
    assert not files_below(tmp_path)


KILLED = """
import sys
import keras
import keras_coordconv
from keras_coordconv.serving import export_for_serving

inputs = keras.Input((8, 8, 2), name="picture")
model = keras.Model(inputs, keras_coordconv.CoordConv2D(3, 3)(inputs))
print("ready", flush=True)
export_for_serving(model, sys.argv[1])
"""


def start_export(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    process.stdout.readline()
    return process


def test_killed_export_publishes_nothing_and_is_cleaned_up(tmp_path):
    process = start_export(tmp_path)
    while not list(
        tmp_path.glob(".keras_coordconv-*/payload/*/saved_model.pb")
    ):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert [path.name[:17] for path in tmp_path.iterdir()] == [
        ".keras_coordconv-"
    ]
    export_for_serving(small_model(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_concurrent_exports_do_not_interfere(tmp_path):
    process = start_export(tmp_path)
    while not list(tmp_path.glob(".keras_coordconv-*")):
        time.sleep(0.01)
    time.sleep(0.1)
    (partial,) = tmp_path.glob(".keras_coordconv-*")
    _files.write_text(tmp_path / "note", "")
    assert partial.exists()
    assert process.wait() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "note"]


@pytest.mark.slow
def test_exports_at_the_same_time(tmp_path):
    processes = [start_export(tmp_path) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "3"]


@pytest.mark.long
def test_export_killed_at_random_moments(tmp_path):
    import tensorflow as tf

    random = np.random.default_rng(0)
    for moment in random.uniform(0, 12, 20):
        process = start_export(tmp_path)
        time.sleep(moment)
        process.kill()
        process.wait()
        for path in tmp_path.iterdir():
            if path.name.isdecimal():
                answer = tf.saved_model.load(str(path)).signatures["tensor"]
                found = answer(picture=tf.zeros((2, 8, 8, 2)))
                assert np.isfinite(next(iter(found.values()))).all()
                assert (path / "assets.extra/model_card.json").exists()
    assert len(list(tmp_path.glob(".keras_coordconv-*"))) <= 1


@pytest.mark.parametrize("size", [1, 1000, 4000])
def test_full_disk(tmp_path, size):
    """In the variables and in the graph. Nothing is left."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            export_for_serving(small_model(), tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.filename == str(tmp_path / "model" / "1")
    assert not list((tmp_path / "model").iterdir())
