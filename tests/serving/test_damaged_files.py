"""The command line reports damaged files in one line, with exit status 2."""

import json
import os
import shutil
import zipfile

import keras
import numpy as np
import pytest

import keras_coordconv
from keras_coordconv.serving import check
from keras_coordconv.serving import encoded_image_signature
from keras_coordconv.serving import export_for_serving
from keras_coordconv.serving import write_config
from keras_coordconv.serving.__main__ import main
from keras_coordconv.serving.__main__ import read_labels

pytestmark = pytest.mark.tensorflow_backend
pytest.importorskip("tensorflow_serving")


@pytest.fixture(autouse=True)
def checked_in_process(monkeypatch):
    """Run `predict_in_fresh_process` in this process, which is faster."""

    def predict(folder, requests):
        try:
            return check.predict(folder, requests)
        except Exception as error:
            raise RuntimeError(
                "Could not load or run the model. "
                f"Received: {check.reason_of(error)}"
            ) from error

    monkeypatch.setattr(check, "predict_in_fresh_process", predict)


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory):
    """Return a folder with model.keras and its export photos/1."""
    folder = tmp_path_factory.mktemp("undamaged")
    inputs = keras.Input((6, 6, 3), name="image")
    outputs = keras_coordconv.CoordConv2D(2, 3, name="features")(inputs)
    model = keras.Model(inputs, outputs)
    model.save(folder / "model.keras")
    images = {
        "serving_default": encoded_image_signature(model, value_range=(0, 255))
    }
    export_for_serving(
        model, folder / "photos", signatures=images, batch_sizes=(1, 2)
    )
    return folder


@pytest.fixture
def folder(undamaged, tmp_path):
    return shutil.copytree(undamaged, tmp_path / "models")


def is_one_line(capsys, message):
    """Return whether one line reports the error, without a traceback."""
    printed = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in printed if line.startswith("error: ")]
    return (
        len(errors) == 1
        and message in errors[0]
        and ("Received: " in errors[0] or "Cannot access " in errors[0])
        and "Traceback" not in "".join(printed)
    )


def rewrite(path, change):
    """Change the parts of a .keras file."""
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)


def set_config(path, content):
    rewrite(path, lambda parts: parts.update({"config.json": content}))


def flip_bytes(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def save_unregistered(path):
    config = json.loads(zipfile.ZipFile(path).read("config.json"))
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "CoordConv2D":
            layer["class_name"] = "NoSuchLayer"
            layer["module"] = "nowhere"
            layer["registered_name"] = "nowhere>NoSuchLayer"
    set_config(path, json.dumps(config))


def save_unbuilt(path):
    keras.Sequential([keras.layers.Dense(1)]).save(path)


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def save_subclassed(path):
    model = Subclassed()
    model(np.zeros((1, 2)))
    model.save(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"junk"),
        lambda path: path.write_bytes(path.read_bytes()[:2000]),
        flip_bytes,
        lambda path: rewrite(path, lambda parts: parts.pop("config.json")),
        lambda path: rewrite(path, lambda p: p.pop("model.weights.h5")),
        lambda path: set_config(path, "[]"),
        lambda path: set_config(path, "{}"),
        lambda path: set_config(path, "3"),
        lambda path: set_config(path, '{"class_name": "Functional"}'),
        lambda path: set_config(path, b"\xff"),
        lambda path: rewrite(
            path, lambda parts: parts.update({"model.weights.h5": b"junk"})
        ),
        save_unregistered,
        save_unbuilt,
        save_subclassed,
    ],
)
def test_export_of_damaged_models(folder, capsys, damage):
    damage(folder / "model.keras")
    arguments = [f"{folder}/model.keras", f"{folder}/other"]
    assert main(["export", *arguments]) == 2
    assert is_one_line(capsys, "model")
    assert not (folder / "other").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels", "{}/labels"], "UTF-8"),
        (["--labels", "{}/nowhere"], "nowhere: No such file"),
        (["--labels", "{}"], ": Is a directory"),
        (["--version", "0"], "version=0"),
        (["--version", "1"], "never overwritten"),
        (["--version", f"{2**63}"], f"version={2**63}"),
    ],
)
def test_export_with_invalid_arguments(folder, capsys, arguments, message):
    (folder / "labels").write_bytes(b"caf\xe9\n")
    arguments = [argument.format(folder) for argument in arguments]
    model, base_path = f"{folder}/model.keras", f"{folder}/photos"
    assert main(["export", model, base_path, *arguments]) == 2
    assert is_one_line(capsys, message)
    assert main(["export", model, model]) == 2
    assert is_one_line(capsys, "a file or a broken link")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_labels_of_any_editor(tmp_path, encoding, line_end):
    path = tmp_path / "labels"
    path.write_bytes(f"left{line_end}rechts ä".encode(encoding))
    assert read_labels(path) == ["left", "rechts ä"]


@pytest.mark.parametrize("name", [b"a\nb", b"\xff", b"\x1b[31m"])
def test_model_names_that_a_server_cannot_have(folder, capsys, name):
    path = os.path.join(os.fsencode(folder), name)
    message = "name of a model's folder must be non-empty and printable"
    model = f"{folder}/model.keras"
    assert main(["export", model, os.fsdecode(path)]) == 2
    assert is_one_line(capsys, message)
    os.rename(folder / "photos", path)
    assert main(["config", f"{folder}"]) == 2
    assert is_one_line(capsys, message)


WARMUP = "photos/1/assets.extra/tf_serving_warmup_requests"


def write_record(path, content):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(content)


def write_request(path, signature, **inputs):
    from keras_coordconv.serving import warmup

    warmup.write_warmup(path.parents[1], "photos", [(signature, inputs)])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"junk"),
        lambda path: path.write_bytes(path.read_bytes()[:-3]),
        flip_bytes,
        lambda path: write_record(path, b"\xff\xff"),
        lambda path: write_record(path, b""),
        lambda path: write_request(
            path, "nobody", image=np.zeros((1, 6, 6, 3))
        ),
        lambda path: write_request(path, "tensor", picture=np.zeros(1)),
        lambda path: write_request(path, "tensor", image=np.zeros(1)),
        lambda path: write_request(
            path, "serving_default", image_bytes=np.array([b"junk"], object)
        ),
    ],
)
def test_check_of_damaged_warm_up_files(folder, capsys, damage):
    damage(folder / WARMUP)
    assert main(["check", f"{folder}/photos/1"]) == 2
    assert is_one_line(capsys, "Could not ")


def test_check_without_a_warm_up_file(folder, capsys):
    (folder / WARMUP).unlink()
    assert main(["check", f"{folder}/photos/1"]) == 0
    printed = capsys.readouterr().out
    assert "serving_default: image_bytes[1] -> features[1, 4, 4, 2]" in printed
    assert "tensor: image[1, 6, 6, 3] -> features[1, 4, 4, 2]" in printed
    assert "2 requests" in printed


@pytest.mark.parametrize(
    "damage",
    [
        shutil.rmtree,
        lambda version: shutil.rmtree(version / "variables"),
        lambda version: (version / "saved_model.pb").unlink(),
        lambda version: (version / "saved_model.pb").write_bytes(b""),
        lambda version: (version / "saved_model.pb").write_bytes(b"junk"),
        lambda version: flip_bytes(version / "variables/variables.index"),
        lambda version: (version / "variables/variables.index").write_bytes(
            b""
        ),
    ],
)
@pytest.mark.parametrize("has_warmup", [True, False])
def test_check_of_damaged_versions(folder, capsys, damage, has_warmup):
    if not has_warmup:
        (folder / WARMUP).unlink()
    damage(folder / "photos/1")
    assert main(["check", f"{folder}/photos/1"]) == 2
    assert is_one_line(capsys, "Could not ")


DATA = "variables/variables.data-00000-of-00001"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda version: flip_bytes(version / DATA), "Checksum does not match"),
        (
            lambda version: (version / DATA).write_bytes(b"short"),
            "Read less bytes than requested",
        ),
        (lambda version: (version / DATA).unlink(), "No such file"),
        (lambda version: shutil.rmtree(version / "variables"), "variables"),
        (
            lambda version: (version / "variables/variables.index").unlink(),
            "variables.index",
        ),
        (
            lambda version: flip_bytes(version / "variables/variables.index"),
            "variables.index or fingerprint.pb is damaged",
        ),
        *(
            (
                lambda version, content=content: (
                    version / "fingerprint.pb"
                ).write_bytes(content),
                "fingerprint.pb is damaged",
            )
            for content in (b"", b"junk", b"\x08\x01", b"\xff" * 97)
        ),
        *(
            (
                lambda version, card=card: (
                    version / "assets.extra/model_card.json"
                ).write_text(card),
                "model card",
            )
            for card in (
                *("", "[]", '{"batch_sizes": [0]}'),
                '{"batch_sizes": [1], "signatures": {}}',
                '{"batch_sizes": [1], "signatures": null}',
            )
        ),
    ],
)
def test_reasons_of_damaged_versions(folder, capsys, damage, reason):
    damage(folder / "photos/1")
    assert main(["check", f"{folder}/photos/1"]) == 2
    error = capsys.readouterr().err
    assert reason in error and "Graph execution error" not in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "file",
    ["saved_model.pb", DATA, "variables/variables.index", "fingerprint.pb"],
)
@pytest.mark.parametrize("seed", range(8))
def test_flipped_bits_are_found(folder, capsys, file, seed):
    path = folder / "photos/1" / file
    content = bytearray(path.read_bytes())
    # The last part of the fingerprint is a random number.
    size = 40 if file == "fingerprint.pb" else len(content)
    bit = int(np.random.default_rng(seed).integers(8 * size))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    assert main(["check", f"{folder}/photos/1"]) == 2
    assert is_one_line(capsys, "Could not ")


@pytest.mark.parametrize("name", ["fingerprint.pb", "assets.extra"])
def test_check_without_optional_files(folder, capsys, name):
    path = folder / "photos/1" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert main(["check", f"{folder}/photos/1"]) == 0
    assert "without Keras" in capsys.readouterr().out


CARD = "photos/1/assets.extra/model_card.json"
INJECTED = "1\nnum_batch_threads { value: 1000 }"


@pytest.mark.parametrize(
    "card",
    [
        b"",
        b"junk",
        b"\xff",
        b"[]",
        b"3",
        b"null",
        b"[" * 100_000,
        b"{}",
        *(
            json.dumps({"batch_sizes": sizes}).encode()
            for sizes in (
                *([], {}, None, 3, "12", ["1"], [INJECTED], [1.5], [True]),
                *([0], [-1], [2**31], [[1]], [1, None], {"1": 2}),
            )
        ),
    ],
    ids=lambda card: card[:50],
)
def test_config_with_damaged_cards(folder, capsys, card):
    (folder / CARD).write_bytes(card)
    assert main(["config", f"{folder}"]) == 2
    assert is_one_line(capsys, "`batch_sizes` in a model card must be")
    assert not (folder / "models.config").exists()


def test_config_with_valid_cards(folder):
    (folder / CARD).write_text('{"batch_sizes": [4, 2]}')
    write_config(folder)
    lines = (folder / "photos/1/batching_params.pbtxt").read_text().splitlines()
    assert "allowed_batch_sizes: 2" in lines
    assert "max_batch_size { value: 4 }" in lines
    (folder / CARD).unlink()
    write_config(folder)


@pytest.mark.parametrize(
    "name", ["nowhere", "model.keras", "photos/1/variables"]
)
def test_config_without_models(folder, capsys, name):
    assert main(["config", f"{folder / name}"]) == 2
    assert is_one_line(capsys, "No models found")
