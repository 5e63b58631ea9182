"""Serves ONNX files with KServe: PORT GRPC_PORT NAME=FILE NAME=FILE

Runs in an environment of its own, see check_servers.py. A model named `blind`
has no metadata, which is KServe's default.
"""

import sys
import uuid

import kserve
import numpy as np
import onnxruntime
from kserve.utils.utils import get_predict_input

DATATYPES = {"tensor(float)": ("FP32", np.float32)}


class OnnxModel(kserve.Model):
    def __init__(self, name, file):
        super().__init__(name)
        self.session = onnxruntime.InferenceSession(file)
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.ready = True

    def get_input_types(self):
        return self._types(self.session.get_inputs())

    def get_output_types(self):
        return self._types(self.session.get_outputs())

    def _types(self, tensors):
        return [
            {
                "name": tensor.name,
                "datatype": DATATYPES[tensor.type][0],
                "shape": [
                    s if isinstance(s, int) else -1 for s in tensor.shape
                ],
            }
            for tensor in tensors
            if self.name != "blind"
        ]

    def predict(self, payload, headers=None, response_headers=None):
        if isinstance(payload, kserve.InferRequest):
            arrays = {x.name: x.as_numpy() for x in payload.inputs}
        else:
            arrays = self._arrays_of_rows(payload)
        for tensor in self.session.get_inputs():
            dtype = DATATYPES[tensor.type][1]
            arrays[tensor.name] = arrays[tensor.name].astype(dtype)
        answer = dict(
            zip(
                self.outputs,
                self.session.run(self.outputs, arrays),
                strict=True,
            )
        )
        if isinstance(payload, kserve.InferRequest):
            outputs = []
            for name, values in answer.items():
                output = kserve.InferOutput(name, list(values.shape), "FP32")
                output.set_data_from_numpy(
                    values, binary_data=payload.use_binary_outputs
                )
                outputs.append(output)
            number = payload.id or str(uuid.uuid4())
            return kserve.InferResponse(number, self.name, outputs)
        columns = {name: values.tolist() for name, values in answer.items()}
        if len(columns) == 1:
            return {"predictions": columns[self.outputs[0]]}
        rows = zip(*columns.values(), strict=True)
        return {
            "predictions": [dict(zip(columns, r, strict=True)) for r in rows]
        }

    def _arrays_of_rows(self, payload):
        names = [tensor.name for tensor in self.session.get_inputs()]
        if len(names) == 1:
            return {names[0]: get_predict_input(payload)}
        rows = payload["instances"]
        return {name: np.array([row[name] for row in rows]) for name in names}


if __name__ == "__main__":
    port, grpc_port, *models = sys.argv[1:]
    server = kserve.ModelServer(
        http_port=int(port), grpc_port=int(grpc_port), grace_period=1
    )
    server.start([OnnxModel(*model.split("=", 1)) for model in models])
