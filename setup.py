"""Installation: `pip install .`, with the tests `pip install '.[test]'`."""

import pathlib
import re

from setuptools import find_packages
from setuptools import setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (ROOT / "keras_coordconv/__init__.py").read_text()
)[1]
ATARI = ["ale-py>=0.12", "gymnasium>=1.1"]

setup(
    name="coordconv-keras",
    version=VERSION,
    description="CoordConv for Keras 3: convolutions that see coordinates.",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
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
    # The layers need Keras and NumPy alone, and run on JAX or PyTorch as well;
    # what comes after these two is for the experiments and for serving.
    install_requires=[
        "keras>=3.12",
        "numpy>=2.0",
        "tensorflow>=2.20",
        "tensorflow-datasets>=4.9.10",
        # Needed by tensorflow-datasets, which does not ask for it.
        "importlib_resources",
        "matplotlib>=3.9",
        "pillow",
        "scipy",
        "tqdm",
    ],
    extras_require={
        # dill: tensorflow-datasets' DatasetBuilderTestCase needs it.
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "hypothesis>=6",
            "dill",
            "lmdb",
            # Runs the tutorial.
            "nbmake>=1.5",
            "pycocotools>=2.0.8",
            # Its digits stand in for MNIST.
            "scikit-learn>=1.5",
            "tensorflow-serving-api>=2.20",
            *ATARI,
        ],
        # Games to learn from; ale-py brings the Atari games themselves.
        "atari": ATARI,
        # Warm-up files, server configuration and the gRPC client.
        "serving": ["tensorflow-serving-api>=2.20"],
        "jax": ["jax>=0.6"],
        # For `model.export(path, format="onnx")` and the tests of exports.
        "onnx": ["onnx", "tf2onnx", "onnxruntime", "openvino"],
        "tensorboard": ["tensorboard"],
        # The page to try the models on; its digits are scikit-learn's.
        "demo": ["gradio>=6", "scikit-learn>=1.5"],
        # The site. Ruff lays out the signatures; nbconvert, the tutorial.
        "docs": [
            "mkdocs-material",
            "mkdocstrings[python]",
            "nbconvert",
            "ruff",
        ],
        # LSUN as its authors pack it.
        "lsun": ["lmdb"],
    },
)
