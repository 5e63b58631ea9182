"""Asks a server with ovmsclient: PROTOCOL ADDRESS MODEL INPUTS OUTPUTS

Runs in an environment of its own, see check_servers.py. INPUTS and OUTPUTS are
.npz files.
"""

import sys

import numpy as np
import ovmsclient

if __name__ == "__main__":
    protocol, address, model, inputs, outputs = sys.argv[1:]
    make = {
        "http": ovmsclient.make_http_client,
        "grpc": ovmsclient.make_grpc_client,
    }[protocol]
    client = make(address)
    arrays = dict(np.load(inputs))
    # Its default version, 0, is OpenVINO Model Server's name for the latest.
    status = client.get_model_status(model, model_version=1)
    assert status[1]["state"] == "AVAILABLE", status
    assert status[1]["error_code"] == 0, status
    metadata = client.get_model_metadata(model, model_version=1)
    if "inputs" not in metadata:
        # By REST it parses only the spelling of OpenVINO Model Server.
        metadata = metadata["metadata"]["signature_def"]["signature_def"]
        metadata = metadata["serving_default"]
    assert set(metadata["inputs"]) == set(arrays), metadata
    answer = client.predict(arrays, model, model_version=1)
    if not isinstance(answer, dict):
        answer = {next(iter(metadata["outputs"])): answer}
    np.savez(outputs, **answer)
