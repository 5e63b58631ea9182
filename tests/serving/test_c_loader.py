"""A C program, without Python, gets the same outputs from a saved model."""

import pathlib
import shutil
import subprocess

import numpy as np
import pytest

pytestmark = [
    pytest.mark.tensorflow_backend,
    pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc"),
]

FOLDER = pathlib.Path(__file__).parents[2] / "saved_models"
PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tensorflow/c/c_api.h>

/* program folder input-operation output-operation index size...
   floats of that shape from stdin, floats to stdout */
static void nothing(void* data, size_t size, void* argument) {}

int main(int count, char** arguments) {
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(
      options, NULL, arguments[1], tags, 1, graph, NULL, status);
  if (TF_GetCode(status) != TF_OK) {
    fprintf(stderr, "%s\n", TF_Message(status));
    return 1;
  }
  int64_t shape[8];
  size_t bytes = sizeof(float);
  int rank = count - 5;
  for (int axis = 0; axis < rank; axis++) {
    shape[axis] = atoi(arguments[5 + axis]);
    bytes *= shape[axis];
  }
  float* values = malloc(bytes);
  if (fread(values, 1, bytes, stdin) != bytes) return 2;
  TF_Tensor* tensor =
      TF_NewTensor(TF_FLOAT, shape, rank, values, bytes, nothing, NULL);
  TF_Output input = {TF_GraphOperationByName(graph, arguments[2]), 0};
  TF_Output output = {TF_GraphOperationByName(graph, arguments[3]),
                      atoi(arguments[4])};
  TF_Tensor* result = NULL;
  TF_SessionRun(session, NULL, &input, &tensor, 1, &output, &result, 1, NULL,
                0, NULL, status);
  if (TF_GetCode(status) != TF_OK) {
    fprintf(stderr, "%s\n", TF_Message(status));
    return 3;
  }
  fwrite(TF_TensorData(result), 1, TF_TensorByteSize(result), stdout);
  return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("program")
    (folder / "predict.c").write_text(PROGRAM)
    library = pathlib.Path(tf.sysconfig.get_lib())
    subprocess.run(
        [
            *("gcc", folder / "predict.c", "-o", folder / "predict"),
            f"-I{tf.sysconfig.get_include()}",
            *(library / "libtensorflow_cc.so.2", f"-Wl,-rpath,{library}"),
            library / "libtensorflow_framework.so.2",
        ],
        check=True,
    )
    return folder / "predict"


@pytest.mark.parametrize("size", [1, 2, 7, 32])
@pytest.mark.parametrize(
    "name, input_shape, output",
    [
        ("coordinate_classification", (2,), "probabilities"),
        ("coordinate_regression", (64, 64, 1), "location"),
        ("rendering", (2,), "image"),
    ],
)
def test_c_program_gives_the_same_outputs(
    program, name, input_shape, output, size
):
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    folder = FOLDER / name / "1"
    saved = saved_model_pb2.SavedModel.FromString(
        (folder / "saved_model.pb").read_bytes()
    )
    signature = saved.meta_graphs[0].signature_def["tensor"]
    ((input_name, feed),) = signature.inputs.items()
    fetch = signature.outputs[output].name.split(":")
    random = np.random.default_rng(size)
    if input_shape == (2,):
        inputs = random.uniform(4, 60, (size, 2)).astype("float32")
    else:
        inputs = np.zeros((size, *input_shape), "float32")
        rows, columns = random.integers(0, 64, (2, size))
        inputs[np.arange(size), rows, columns] = 1
    answer = subprocess.run(
        [
            *(program, folder, feed.name.split(":")[0], *fetch),
            *map(str, inputs.shape),
        ],
        input=inputs.tobytes(),
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    expected = tf.saved_model.load(str(folder)).signatures["tensor"](
        **{input_name: tf.constant(inputs)}
    )[output]
    assert np.ptp(expected) > 1e-3 or size == 1
    np.testing.assert_allclose(
        np.frombuffer(answer, "float32").reshape(expected.shape),
        expected,
        atol=1e-5,
    )
