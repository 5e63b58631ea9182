"""A C program, without Python, gets the same numbers from a saved model."""

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

/* program folder input-operation output-operation index batch
   floats of shape (batch, 2) from stdin, floats to stdout */
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
  int64_t shape[] = {atoi(arguments[5]), 2};
  size_t bytes = shape[0] * 2 * sizeof(float);
  float* values = malloc(bytes);
  if (fread(values, 1, bytes, stdin) != bytes) return 2;
  TF_Tensor* tensor =
      TF_NewTensor(TF_FLOAT, shape, 2, values, bytes, nothing, NULL);
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
    (folder / "ask.c").write_text(PROGRAM)
    library = pathlib.Path(tf.sysconfig.get_lib())
    subprocess.run(
        [
            *("gcc", folder / "ask.c", "-o", folder / "ask"),
            f"-I{tf.sysconfig.get_include()}",
            *(library / "libtensorflow_cc.so.2", f"-Wl,-rpath,{library}"),
            library / "libtensorflow_framework.so.2",
        ],
        check=True,
    )
    return folder / "ask"


@pytest.mark.parametrize("size", [1, 2, 7, 32])
@pytest.mark.parametrize(
    "name, output",
    [("coordinate_classification", "probabilities"), ("rendering", "image")],
)
def test_c_program_gives_the_same_numbers(program, name, output, size):
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    folder = FOLDER / name / "1"
    saved = saved_model_pb2.SavedModel.FromString(
        (folder / "saved_model.pb").read_bytes()
    )
    signature = saved.meta_graphs[0].signature_def["serving_default"]
    feed = signature.inputs["location"].name.split(":")
    fetch = signature.outputs[output].name.split(":")
    random = np.random.default_rng(size)
    locations = random.uniform(4, 60, (size, 2)).astype("float32")
    answer = subprocess.run(
        [program, folder, feed[0], *fetch, str(size)],
        input=locations.tobytes(),
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    expected = tf.saved_model.load(str(folder)).signatures["serving_default"](
        location=tf.constant(locations)
    )[output]
    np.testing.assert_allclose(
        np.frombuffer(answer, "float32").reshape(expected.shape),
        expected,
        atol=1e-5,
    )
