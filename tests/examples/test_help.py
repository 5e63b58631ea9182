"""What all scripts say about themselves, and that they say it at once."""

import importlib
import pathlib
import signal

import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
# Apart from what they all import first.
# Modules that the scripts import.
MODULES = {"baselines", "environment", "startup"}
SCRIPTS = sorted({path.stem for path in EXAMPLES.glob("*.py")} - MODULES)
# They compare other things than layers, and nobody would serve their nets.
WITHOUT_LAYER_AND_EXPORT = (
    *("instances", "key_points", "position_codes", "position_probes", "tiles"),
)


@pytest.mark.tensorflow_backend
@pytest.mark.parametrize("name", SCRIPTS)
def test_help(scripts, tmp_path, name):
    script = importlib.import_module(name)
    printed = scripts.run(name, "--help", PYTHONPROFILEIMPORTTIME="1")
    # Imports are printed, too: this one, and none of those that take long.
    assert " startup\n" in printed
    for module in ("keras.src", "matplotlib.cbook", "tensorflow.python.eager"):
        assert f" {module}\n" not in printed
    assert script.__doc__.strip() in printed
    assert not list(tmp_path.iterdir())
    if not hasattr(script, "RECIPES"):
        return
    flags = {"--layer", "--seed", "--workdir", "--resume", "--export-dir"}
    if name in WITHOUT_LAYER_AND_EXPORT:
        flags -= {"--layer", "--export-dir"}
    if name == "climate":
        flags -= {"--layer"}
    for flag in flags:
        assert flag in printed
    # Each setting is explained once, and has its default once a recipe.
    defaults = printed.partition("defaults that depend on other flags:")[2]
    for condition, recipe in script.RECIPES.items():
        assert f"\n  {condition}\n" in defaults
        for setting in recipe:
            flag = f"--{setting.replace('_', '-')}"
            assert printed.count(f"\n  {flag} ") == 1
    learning_rates = [
        r for r in script.RECIPES.values() if "learning_rate" in r
    ]
    assert defaults.count("--learning-rate ") == len(learning_rates)


@pytest.mark.tensorflow_backend
def test_start_without_a_word_of_tensorflow(scripts):
    printed = scripts.run("plot", "scores", "missing", status=2)
    assert printed.startswith("error: ") and printed.count("\n") == 1


@pytest.mark.tensorflow_backend
@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("coordinate_classification", "matplotlib", "experiments"),
        ("coordinate_classification", "tensorflow", "experiments"),
    ],
)
def test_missing_package(scripts, name, package, extra):
    printed = scripts.run(name, status=2, **scripts.without(package))
    assert printed == (
        f"error: {package} is not installed. "
        f"Run: pip install 'coordconv-keras[{extra}] @ "
        f"{EXAMPLES.parent.as_uri()}'\n"
    )


@pytest.mark.tensorflow_backend
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_during_the_imports(scripts, number):
    process = scripts.start("sweep", "rendering", PYTHONPROFILEIMPORTTIME="1")
    for line in process.stdout:
        if line.endswith(" numpy\n"):
            break
    process.send_signal(number)
    printed = scripts.finish(process, 128 + number)
    assert printed.endswith("\nInterrupted.\n")
    assert "Traceback" not in printed
