"""Asks a server with tritonclient: PROTOCOL ADDRESS MODEL INPUTS OUTPUTS

Runs in an environment of its own, see check_servers.py. INPUTS and OUTPUTS are
.npz files.
"""

import importlib
import sys

import numpy as np

if __name__ == "__main__":
    protocol, address, model, inputs, outputs = sys.argv[1:]
    module = importlib.import_module(f"tritonclient.{protocol}")
    client = module.InferenceServerClient(address)
    arrays = dict(np.load(inputs))
    assert client.is_model_ready(model)
    tensors = []
    for name, array in arrays.items():
        tensor = module.InferInput(name, array.shape, "FP32")
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    result = client.infer(model, tensors)
    response = result.get_response()
    found = (
        [output["name"] for output in response["outputs"]]
        if protocol == "http"
        else [output.name for output in response.outputs]
    )
    np.savez(outputs, **{name: result.as_numpy(name) for name in found})
