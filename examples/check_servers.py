"""Servers and clients of other projects, with this project's exports.

    python examples/check_servers.py

exports three models, starts KServe, NVIDIA Triton and the mock of TensorFlow
Serving, and asks each of them with `ServingClient`, ovmsclient and
tritonclient, wherever their protocols meet. The answers must be those of Keras
to 1e-5. The other projects are installed from PyPI into virtual environments of
their own. Needs `pip install '.[experiments,serving,onnx]'`.
"""

import startup  # noqa: F401, before the rest

import contextlib
import functools
import importlib.metadata
import json
import os
import pathlib
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv

import keras
import numpy as np

import keras_coordconv
from keras_coordconv.experiments import benchmarking
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training.command import command
from keras_coordconv.serving import ServingClient
from keras_coordconv.serving import ServingError
from keras_coordconv.serving import export_for_runtime
from keras_coordconv.serving import export_for_serving

NAME = "check_servers"
TOLERANCE = 1e-5
WORKERS = pathlib.Path(__file__).parent / "servers"
MOCK_SERVER = pathlib.Path(__file__).parents[1] / "tests/serving/mock_server.py"
ENVIRONMENTS = {
    "kserve": ("kserve==0.21.0", "onnxruntime==1.32.0"),
    "pytriton": ("nvidia-pytriton==0.7.0", "onnxruntime==1.32.0"),
    "ovmsclient": ("ovmsclient==2023.1",),
    "tritonclient": ("tritonclient[grpc,http]==2.73.0",),
}
# Client, server, and the protocols that they have in common.
MEETINGS = [
    ("ServingClient", "mock", ("V1 REST", "V1 REST rows", "V1 gRPC")),
    ("ServingClient", "kserve", ("V1 REST", "V2 REST")),
    ("ServingClient", "pytriton", ("V2 REST",)),
    ("ovmsclient", "mock", ("V1 REST", "V1 gRPC")),
    ("tritonclient", "kserve", ("V2 REST", "V2 gRPC")),
    ("tritonclient", "pytriton", ("V2 REST", "V2 gRPC")),
]
CANNOT_MEET = [
    {
        "client": "ServingClient",
        "server": "kserve and pytriton",
        "reason": "V2 by gRPC: ServingClient has V2 by REST only.",
    },
    {
        "client": "ovmsclient",
        "server": "kserve",
        "reason": "ovmsclient names a version in each URL; V1 of KServe has no "
        "versions and answers 404.",
    },
    {
        "client": "ovmsclient",
        "server": "pytriton",
        "reason": "ovmsclient has only V1, Triton only V2.",
    },
    {
        "client": "tritonclient",
        "server": "mock",
        "reason": "tritonclient has only V2, TensorFlow Serving only V1.",
    },
]


def photo_model():
    image = keras.Input((12, 10, 3), name="image")
    x = keras_coordconv.CoordConv2D(4, 3, activation="relu")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(5, "softmax", name="probabilities")(x)
    return keras.Model(image, x)


def several_model():
    image = keras.Input((6, 5, 3), name="image")
    shift = keras.Input((2,), name="shift")
    maps = keras_coordconv.CoordConv2D(2, 3, use_radius=True)(image)
    moved = keras.layers.Dense(3)(shift)
    return keras.Model([image, shift], {"maps": maps, "moved": moved})


def free_ports(count):
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in found:
            free.bind(("127.0.0.1", 0))
        return [free.getsockname()[1] for free in found]


def python_of(environments, name):
    """Returns the Python of an environment, which is made if it is missing."""
    folder = environments / name
    python = folder / "bin" / "python"
    done = folder / "complete"
    if not done.exists():
        print(f"installing {', '.join(ENVIRONMENTS[name])} into {folder}")
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run(
            [
                *(python, "-m", "pip", "install", "--quiet"),
                *("--disable-pip-version-check", *ENVIRONMENTS[name]),
            ],
            check=True,
        )
        done.touch()
    return python


def versions_of(python):
    """Returns the versions of what an environment was made for."""
    program = (
        "import importlib.metadata as m, json\n"
        "print(json.dumps({d.name: d.version for d in m.distributions()}))"
    )
    printed = subprocess.run(
        [python, "-c", program], check=True, capture_output=True, text=True
    )
    wanted = {"numpy", "protobuf", "grpcio"} | {
        requirement.partition("==")[0].partition("[")[0]
        for requirements in ENVIRONMENTS.values()
        for requirement in requirements
    }
    found = json.loads(printed.stdout)
    return {name: found[name] for name in sorted(wanted & set(found))}


@contextlib.contextmanager
def started(command, log):
    """Runs a server while the context is open."""
    # Triton's backend must find the library of the same Python.
    library = {"LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR")}
    with (
        open(log, "w") as file,
        subprocess.Popen(
            command, stdout=file, stderr=file, env={**os.environ, **library}
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_until_ready(client, models, process, log, seconds=180):
    for model in models:
        while True:
            with contextlib.suppress(ServingError):
                if "AVAILABLE" in client.status(model).values():
                    break
            seconds -= 1
            if process.poll() is not None or seconds < 0:
                raise RuntimeError(
                    f"The server did not start. Received: {log} ending with "
                    f"{pathlib.Path(log).read_text(encoding='utf-8')[-1000:]}"
                )
            time.sleep(1)


def start_servers(stack, environments, scratch, models):
    """Starts the servers; returns their addresses by name and protocol."""
    onnx = [f"{name}={scratch}/onnx/{name}/1/model.onnx" for name in models]
    addresses = {}
    for name in ("mock", "kserve", "pytriton"):
        log = scratch / f"{name}.log"
        if name == "mock":
            ports = free_ports(2)
            command = [sys.executable, MOCK_SERVER, scratch / "saved"]
            command += ["--ports", *map(str, ports)]
        else:
            ports = free_ports(2)
            python = python_of(environments, name)
            command = [python, WORKERS / f"{name}_server.py"]
            command += [*map(str, ports), *onnx]
        process = stack.enter_context(started(command, log))
        rest, grpc = (f"127.0.0.1:{port}" for port in ports)
        addresses[name] = {"REST": rest, "gRPC": grpc}
        protocol = "v2" if name == "pytriton" else "v1"
        client = ServingClient(f"http://{rest}", protocol=protocol, retries=0)
        wait_until_ready(client, models, process, log)
    return addresses


def ask_with_serving_client(protocol, address, model, arrays):
    version, transport, *rows = protocol.split()
    scheme = {"REST": "http", "gRPC": "grpc"}[transport]
    with ServingClient(
        f"{scheme}://{address}", protocol=version.lower()
    ) as client:
        return client.predict(model, arrays, rows=bool(rows))


def ask_in_environment(python, worker, protocol, address, model, arrays):
    transport = {"REST": "http", "gRPC": "grpc"}[protocol.split()[1]]
    with tempfile.TemporaryDirectory() as scratch:
        inputs, outputs = f"{scratch}/inputs.npz", f"{scratch}/outputs.npz"
        np.savez(inputs, **arrays)
        result = subprocess.run(
            [
                *(python, WORKERS / f"{worker}.py", transport, address),
                *(model, inputs, outputs),
            ],
            capture_output=True,
            text=True,
        )
        if result.returncode:
            raise RuntimeError(result.stderr.strip()[-1000:])
        return dict(np.load(outputs))


def compare(answer, expected):
    """Returns the largest difference between the outputs."""
    if set(answer) == {"predictions"} and len(expected) == 1:
        # A server without metadata does not name its only output.
        answer = dict.fromkeys(expected, answer["predictions"])
    if set(answer) != set(expected):
        raise RuntimeError(f"outputs {sorted(answer)}")
    for name, values in expected.items():
        if answer[name].shape != values.shape:
            raise RuntimeError(f"{name} of shape {answer[name].shape}")
    return max(
        float(np.abs(answer[name] - values).max())
        for name, values in expected.items()
    )


def build_parser():
    parser = flags.Parser(__doc__)
    parser.add_argument(
        "--environments",
        type=pathlib.Path,
        default="runs/environments",
        help="folder for the virtual environments, kept for the next time "
        "(default: %(default)s)",
    )
    benchmarking.add_output(parser, NAME)
    return parser


@command
def main(argv=None):
    args = build_parser().parse_args(argv)
    output = benchmarking.make_output(args)
    keras.utils.set_random_seed(0)
    several = several_model()
    models = {"photos": photo_model(), "several": several, "blind": several}
    random = np.random.default_rng(0)
    arrays, expected = {}, {}
    for name, model in models.items():
        arrays[name] = {
            x.name: random.uniform(0, 1, (7, *x.shape[1:])).astype("float32")
            for x in model.inputs
        }
        answer = model.predict_on_batch(
            [arrays[name][x.name] for x in model.inputs]
        )
        if not isinstance(answer, dict):
            answer = {model.output_names[0]: answer}
        expected[name] = answer

    rows = []
    with contextlib.ExitStack() as stack:
        scratch = pathlib.Path(
            stack.enter_context(tempfile.TemporaryDirectory())
        )
        for name, model in models.items():
            export_for_serving(model, scratch / "saved" / name)
            export_for_runtime(model, scratch / "onnx" / name, format="onnx")
        pythons = {
            name: python_of(args.environments, name) for name in ENVIRONMENTS
        }
        clients = {
            "ServingClient": ask_with_serving_client,
            "ovmsclient": functools.partial(
                ask_in_environment, pythons["ovmsclient"], "ovms_client"
            ),
            "tritonclient": functools.partial(
                ask_in_environment, pythons["tritonclient"], "triton_client"
            ),
        }
        addresses = start_servers(stack, args.environments, scratch, models)
        for client, server, protocols in MEETINGS:
            for protocol in protocols:
                address = addresses[server][protocol.split()[1]]
                for name in models:
                    row = {
                        "client": client,
                        "server": server,
                        "protocol": protocol,
                        "model": name,
                    }
                    try:
                        answer = clients[client](
                            protocol, address, name, arrays[name]
                        )
                        row["difference"] = compare(answer, expected[name])
                        row["equal"] = row["difference"] <= TOLERANCE
                    except (RuntimeError, ValueError) as error:
                        row |= {"equal": False, "error": f"{error}"}
                    rows.append(row)
                    print(*row.values())
        versions = {
            name: versions_of(python) for name, python in pythons.items()
        }
    versions["this"] = {
        name: importlib.metadata.version(name)
        for name in ("tensorflow", "tensorflow-serving-api", "tf2onnx", "numpy")
    }
    del args.environments
    results = benchmarking.write_results(
        output,
        args,
        rows,
        date=time.strftime("%Y-%m-%d"),
        command="python examples/check_servers.py",
        tolerance=TOLERANCE,
        versions=versions,
        cannot_meet=CANNOT_MEET,
    )
    failed = sum(not row["equal"] for row in rows)
    if failed:
        raise RuntimeError(f"{failed} of {len(rows)} answers differ.")
    print(f"{len(rows)} answers are equal to Keras's")
    return results


if __name__ == "__main__":
    main()
