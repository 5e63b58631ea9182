"""Serves ONNX files with NVIDIA Triton: PORT GRPC_PORT NAME=FILE NAME=FILE

Runs in an environment of its own, see check_servers.py. Triton calls ONNX
Runtime in its Python backend, the only one that comes with nvidia-pytriton.
"""

import sys

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig
from pytriton.model_config import Tensor
from pytriton.triton import Triton
from pytriton.triton import TritonConfig


def bind(triton, name, file):
    session = onnxruntime.InferenceSession(file)
    outputs = [output.name for output in session.get_outputs()]

    @batch
    def infer(**arrays):
        answer = session.run(outputs, arrays)
        return dict(zip(outputs, answer, strict=True))

    def tensors(found):
        return [
            Tensor(name=x.name, dtype=np.float32, shape=tuple(x.shape[1:]))
            for x in found
        ]

    triton.bind(
        name,
        infer,
        tensors(session.get_inputs()),
        tensors(session.get_outputs()),
        config=ModelConfig(max_batch_size=32),
    )


if __name__ == "__main__":
    port, grpc_port, *models = sys.argv[1:]
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=int(port),
        grpc_address="127.0.0.1",
        grpc_port=int(grpc_port),
        allow_metrics=False,
    )
    with Triton(config=config) as triton:
        for model in models:
            bind(triton, *model.split("=", 1))
        triton.serve()
