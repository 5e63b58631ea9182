"""Flips bits in copies of a finished run; for test_faults.py.

    python flip_bits.py FOLDER 200

Each flip is an error that names the file, or changes no number.
"""

import pathlib
import random
import shutil
import sys

import keras
import toys

from keras_coordconv import _files
from keras_coordconv.experiments.training import results
from keras_coordconv.experiments.training import run_files
from keras_coordconv.experiments.training.run import Run


def read_all(folder):
    """All that the project reads from a run, when it plots and resumes it."""
    contents = results.read_run(folder)
    contents["environment"] = results.read_environment(folder)
    trained = run_files.load_model(folder / "model.keras")
    contents["model"] = [w.tolist() for w in trained.get_weights()]
    contents["config"] = trained.get_config()
    args = toys.parse(["--resume", "--workdir", str(folder)])
    args.workdir = str(folder)
    run = Run("supervised", args)
    try:
        model = toys.dense_model([2, 32, 32, 2], "model", dropout=0.2)
        model.compile("adam", "mse")
        run.track(model)
    finally:
        _files.unlock_folder(_files.lock_folder(folder))
    contents["run"] = run.history
    contents["state"] = [
        keras.ops.convert_to_numpy(variable).tolist()
        for variable in (*model.variables, *model.optimizer.variables)
        if variable.name != "seed_generator_state"
    ]
    return contents


def main(parent, flips):
    whole = pathlib.Path(parent, "whole").absolute()
    toys.supervised(["--workdir", str(whole)])
    expected = read_all(whole)
    names = sorted(
        str(path.relative_to(whole))
        for path in whole.rglob("*")
        if path.is_file()
    )
    assert len(names) == 6, names
    random_numbers = random.Random(0)
    found = 0
    for number in range(int(flips)):
        copy = whole.with_name("copy")
        shutil.copytree(whole, copy)
        name = names[number % len(names)]
        content = bytearray((copy / name).read_bytes())
        position = random_numbers.randrange(len(content))
        content[position] ^= 1 << random_numbers.randrange(8)
        (copy / name).write_bytes(content)
        try:
            assert read_all(copy) == expected, (name, position)
        except ValueError as error:
            assert str(copy / name) in str(error), (name, position, error)
            assert "\n" not in str(error), (name, position, error)
            found += 1
        shutil.rmtree(copy)
    print(f"{flips} flips, {found} found, the others without effect")


if __name__ == "__main__":
    main(*sys.argv[1:])
