"""Several devices do what one does with the same batches."""

import os
import pathlib
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_coordconv.experiments.training import distribution

SCRIPT = pathlib.Path(__file__).parent / "train_on_devices.py"
BACKEND = keras.backend.backend()

pytestmark = pytest.mark.skipif(
    BACKEND not in ("tensorflow", "jax"),
    reason="several devices need Keras on TensorFlow or JAX",
)


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Images of three colors with noise; 13 of them for validation."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("images")
    for subset, count in (("train", 45), ("val", 13)):
        for number in range(count):
            label = number % 3
            image = random.uniform(0, 200, (24, 24, 3))
            image[..., label] += 40
            path = folder / subset / f"class{label}" / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = tf.io.encode_png(image.astype("uint8"))
            path.write_bytes(content.numpy())
    return folder


def start(data_dir, output, *flags, **environment):
    return subprocess.Popen(
        [
            *(sys.executable, SCRIPT, "--data-dir", data_dir),
            *("--workdir", output.parent / "run", "--output", output),
            *map(str, flags),
        ],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes):
    for process in processes:
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed


@pytest.fixture(scope="module")
def one_device(data_dir, tmp_path_factory):
    output = tmp_path_factory.mktemp("one") / "result.npz"
    finish(start(data_dir, output, "--devices", 1))
    return dict(np.load(output))


def check_same(found, expected, devices):
    assert found.pop("devices") == devices
    assert expected["loss"][-1] < expected["loss"][0] - 0.2
    for name in set(expected) - {"devices"}:
        np.testing.assert_allclose(
            found[name], expected[name], rtol=1e-3, atol=1e-4, err_msg=name
        )


@pytest.mark.slow
def test_two_devices(data_dir, tmp_path, one_device):
    """Also where the run is resumed in the middle."""
    output = tmp_path / "result.npz"
    finish(start(data_dir, output, "--devices", 2, EPOCHS="5"))
    finish(start(data_dir, output, "--devices", 2, "--resume"))
    check_same(dict(np.load(output)), one_device, devices=2)


@pytest.mark.skipif(BACKEND != "jax", reason="needs Keras on the JAX backend")
def test_two_processes(data_dir, tmp_path, one_device):
    output = tmp_path / "result.npz"
    addresses = f"127.0.0.1:{free_port()}"
    finish(
        *(
            start(
                *(data_dir, output, "--devices", 1),
                **processes(addresses, "2", process),
            )
            for process in "01"
        )
    )
    check_same(dict(np.load(output)), one_device, devices=2)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (
            ValueError(
                "UNKNOWN: Gloo AllGather failed: [pair.cc:538] Read error "
                "[127.0.0.1]:11413: Connection reset by peer\nmore"
            ),
            True,
        ),
        (RuntimeError("The coordination service: heartbeat timeout"), True),
        (ValueError("The batch size must be positive."), False),
    ],
)
def test_error_of_a_lost_process(processes, error, is_lost):
    with (
        pytest.raises((RuntimeError, ValueError)) as raised,
        distribution.Devices(processes, processes).plain_errors(),
    ):
        raise error
    if processes == 1 or not is_lost:
        assert raised.value is error
    else:
        text = str(raised.value)
        assert text.startswith("Another process ended. Received in process 0")
        assert text.endswith("same command and --resume.") and "\n" not in text


def test_batch_must_be_shared_evenly():
    devices = distribution.Devices(count=4, processes=2)
    assert devices.local_batch_size(12) == 6
    with pytest.raises(ValueError, match="a batch of 10 for 4 devices"):
        devices.local_batch_size(10)


def processes(*values):
    """Environment variables of Keras, without those that are `None`."""
    variables = zip(distribution.KERAS_VARIABLES, values, strict=True)
    return {name: value for name, value in variables if value is not None}


@pytest.mark.parametrize(
    "values",
    [
        (None, "2", None),
        ("127.0.0.1:1234", None, None),
        ("127.0.0.1:1", "2", "2"),
        ("127.0.0.1:1", "2", "-1"),
        ("127.0.0.1:1", "two", "0"),
        ("", "2", "0"),
    ],
)
def test_incomplete_processes(monkeypatch, values):
    for name, value in processes(*values).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="'KERAS_DISTRIBUTION_"):
        distribution.start(1)


SLURM = {
    **{"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"},
    **{"SLURM_LOCALID": "0", "SLURM_STEP_NODELIST": "node[1-2]"},
}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, 1),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, 2),
        (SLURM, 4),
        # A batch script itself, without `srun`.
        ({**SLURM, "SLURM_STEP_NODELIST": None}, 1),
        (processes("a:1,b:1", "3", "2"), 3),
        # What Keras's variables say counts.
        ({**SLURM, **processes("a:1", "1", "0")}, 1),
    ],
)
def test_processes_of_the_environment(monkeypatch, variables, expected):
    for name, value in variables.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    found, arguments = distribution._find_processes()
    assert found == expected
    if expected == 3:
        assert arguments["coordinator_address"] == "a:1"
        assert arguments["process_id"] == 2


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's rule")
@pytest.mark.parametrize(
    "variables", [SLURM, processes("127.0.0.1:1", "2", "0")]
)
def test_several_processes_need_jax(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="Set KERAS_BACKEND=jax"):
        distribution.start(1)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's strategies")
@pytest.mark.parametrize(
    ("name", "compiled"),
    [
        ("steps_per_execution", {"steps_per_execution": 4}),
        ("jit_compile", {"jit_compile": True}),
        (
            "gradient_accumulation_steps",
            {"optimizer": keras.optimizers.SGD(gradient_accumulation_steps=2)},
        ),
    ],
)
def test_what_a_strategy_cannot_train(name, compiled):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(**{"optimizer": "sgd", "loss": "mse", **compiled})
    distribution.Devices(count=2).check(model)
    with pytest.raises(ValueError, match=f"do not support `{name}`"):
        distribution.Devices(count=2, is_mirrored=True).check(model)


def test_what_a_strategy_can_train():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    devices = distribution.Devices(count=2, is_mirrored=True)
    model.compile("sgd", "mse", **devices.compile_arguments())
    devices.check(model)


@pytest.mark.parametrize("text", ["0", "-1", "two", ""])
def test_number_of_devices(text, capsys):
    import argparse

    parser = argparse.ArgumentParser()
    distribution.add_arguments(parser)
    assert parser.parse_args([]).devices == "all"
    assert parser.parse_args(["--devices", "3"]).devices == 3
    with pytest.raises(SystemExit):
        parser.parse_args([f"--devices={text}"])
    assert "--devices" in capsys.readouterr().err


def test_too_many_gpus():
    with pytest.raises(ValueError, match="Not enough devices: "):
        distribution._choose(["GPU:0", "GPU:1"], 3)
