"""Tests with TensorFlow Serving itself: `pytest -m real_server`.

They need the server's binary, at the path in TENSORFLOW_MODEL_SERVER, or Docker
with the image tensorflow/serving.
"""

import os
import pathlib
import socket
import subprocess
import time

import numpy as np
import pytest

from keras_coordconv.serving import ServingClient
from keras_coordconv.serving import ServingError

FOLDER = pathlib.Path(__file__).parents[2] / "saved_models"
BINARY = os.environ.get("TENSORFLOW_MODEL_SERVER")


pytestmark = [pytest.mark.tensorflow_backend, pytest.mark.real_server]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def addresses():
    grpc, rest = free_port(), free_port()
    if BINARY:
        command = [
            *(BINARY, f"--port={grpc}", f"--rest_api_port={rest}"),
            "--model_name=rendering",
            f"--model_base_path={FOLDER / 'rendering'}",
        ]
    else:
        command = [
            *("docker", "run", "--rm", "-v", f"{FOLDER}:/models"),
            *("-p", f"{grpc}:8500", "-p", f"{rest}:8501"),
            "tensorflow/serving",
            "--model_config_file=/models/models.config",
        ]
    with subprocess.Popen(command) as process:
        yield f"http://127.0.0.1:{rest}", f"grpc://127.0.0.1:{grpc}"
        process.terminate()


def test_rendering(addresses):
    for address in addresses:
        with ServingClient(address) as client:
            for _ in range(60):
                try:
                    if client.status("rendering") == {1: "AVAILABLE"}:
                        break
                except ServingError:
                    pass
                time.sleep(1)
            answer = client.predict("rendering", {"location": [[40.0, 22.0]]})
        square = np.argwhere(answer["image"][0, :, :, 0] > 0.5)
        assert square.min(axis=0).tolist() == [18, 36]
        assert square.max(axis=0).tolist() == [26, 44]
        with pytest.raises(ServingError, match="nobody"):
            client.status("nobody")
