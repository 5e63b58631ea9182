"""Flags, recipes and the errors of a user."""

import errno
import json
import os
import pathlib

import pytest

from keras_coordconv.experiments.training import arguments

RECIPES = {
    "--layer coordconv": {"scale": 2.0, "epochs": 3, "warmup_epochs": 0.5},
    "--layer conv": {"width": 4, "epochs": 90, "warmup_epochs": 5.0},
    "--layer conv --split quadrant": {"epochs": 30},
}


def parse(*flags):
    parser = arguments.build_parser("A toy.\n\n    python toy.py")
    group = arguments.add_task(parser, ("uniform", "quadrant"))
    group.add_argument("--scale", type=arguments.not_negative_number)
    group.add_argument("--width", type=arguments.positive_integer)
    arguments.add_training(parser)
    # In no recipe: these mean nothing here.
    parser.set_defaults(batch_size=8, learning_rate=0.1, l2=0.0)
    return arguments.parse(parser, RECIPES, [str(flag) for flag in flags])


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), {"scale": 2.0, "epochs": 3}),
        (("--scale", 1), {"scale": 1.0, "epochs": 3}),
        (("--layer", "conv"), {"width": 4, "epochs": 30}),
        (
            ("--layer", "conv", "--split", "uniform", "--width", 1),
            {"width": 1, "epochs": 90},
        ),
    ],
)
def test_recipes(flags, expected):
    args = vars(parse(*flags))
    assert expected.items() <= args.items()
    assert ("width" in args, "scale" in args) == (
        "width" in expected,
        "scale" in expected,
    )


def test_help_has_each_recipe_once(capsys):
    with pytest.raises(SystemExit, match="0"):
        parse("--help")
    printed = capsys.readouterr().out
    assert "A toy.\n\n    python toy.py\n" in printed
    assert printed.endswith(
        "defaults that depend on other flags:\n"
        "  --layer coordconv\n"
        "      --scale 2 --epochs 3 --warmup-epochs 0.5\n"
        "  --layer conv\n"
        "      --width 4 --epochs 90 --warmup-epochs 5\n"
        "  --layer conv --split quadrant\n"
        "      --epochs 30\n"
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--width", 3), "--width 3, which is for --layer conv."),
        (
            ("--layer", "conv", "--scale", 3),
            "--scale 3.0, which is for --layer coordconv.",
        ),
        (
            ("--warmup-epochs", 3),
            "--warmup-epochs must be less .* Received: 3 and 3",
        ),
        (("--resume",), "Received: no --workdir"),
        (("--export-dir", "file/out"), "--export-dir must be a writable"),
    ],
)
def test_flags_that_do_not_fit(tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=message):
        parse(*flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--filters", 3), "unrecognized arguments: --filters"),
        (("--layer", "dense"), "invalid choice: 'dense'"),
        (("--epochs", 0), "must be at least 1"),
        (("--learning-rate", "-1"), "must be at least 0"),
        (("--learning-rate", "nan"), "must be at least 0"),
        (("--learning-rate", "much"), "argument --learning-rate"),
        (("--dtype-policy", "half"), "must be a Keras dtype policy"),
        (("--seed", -1), "argument --seed: must be at least 0"),
        (("--seed", 2**32), "and less than 4294967296, received"),
        # A part of a flag's name is not that flag.
        (("--work", "folder"), "unrecognized arguments: --work"),
    ],
)
def test_flags_that_do_not_exist(capsys, flags, message):
    with pytest.raises(SystemExit, match="2"):
        parse(*flags)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line


def test_warmup_nobody_asked_for_fits_the_epochs():
    args = parse("--layer", "conv", "--epochs", 1)
    assert (args.epochs, args.warmup_epochs) == (1, 0.5)
    assert parse("--layer", "conv", "--epochs", 20).warmup_epochs == 5


def write_args(folder, **flags):
    args = {**vars(parse("--layer", "conv", "--workdir", folder)), **flags}
    del args["resume"]
    (folder / "args.json").write_text(json.dumps(args))


def test_resume_takes_all_flags_from_the_run(tmp_path):
    write_args(tmp_path, width=7, epochs=12, seed=3, export_dir="out")
    resumed = ("--resume", "--workdir", tmp_path)
    args = parse(*resumed)
    assert (args.layer, args.width, args.epochs) == ("conv", 7, 12)
    assert (args.seed, args.export_dir, args.resume) == (3, "out", True)
    assert args == parse(*resumed, "--epochs", 12, "--layer", "conv")
    assert parse(*resumed, "--export-dir", "new").export_dir == "new"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--epochs", 13), "--epochs 13, begun with 12"),
        (("--layer", "coordconv"), "--layer coordconv, begun with conv"),
        (("--scale", 1), "--scale 1.0, begun with None"),
    ],
)
def test_resume_with_other_flags(tmp_path, flags, message):
    write_args(tmp_path, epochs=12)
    with pytest.raises(ValueError, match=f"Received: {message} in"):
        parse("--resume", "--workdir", tmp_path, *flags)


@pytest.mark.parametrize("flags", [(), ("--epochs", 12, "--layer", "conv")])
def test_resume_starts_where_there_is_no_run(tmp_path, flags):
    """The same command starts a run and continues it."""
    command = ("--resume", "--workdir", tmp_path, *flags)
    args = parse(*command)
    assert args == parse(*command)
    assert args.resume and args.epochs == (12 if flags else 3)
    begun = {name: x for name, x in vars(args).items() if name != "resume"}
    (tmp_path / "args.json").write_text(json.dumps(begun))
    assert parse(*command) == args


def test_resume_a_run_of_another_script(tmp_path):
    write_args(tmp_path, game="Seaquest")
    with pytest.raises(ValueError, match="with other flags: game"):
        parse("--resume", "--workdir", tmp_path)


def test_export_needs_tensorflow(monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(ValueError, match="Received: KERAS_BACKEND=jax"):
        parse("--export-dir", "out")


def test_tensorboard_needs_its_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="`pip install tensorboard`"):
        parse("--tensorboard", "logs")


def raise_from_keras(argv):
    import keras

    keras.layers.Dense(-1)


def raise_own(argv):
    raise ValueError("The rule. Received: x")


def raise_of_the_project(argv):
    from keras_coordconv import coordinate_grid

    coordinate_grid((-1, 2))


def open_missing(argv):
    pathlib.Path("nowhere/file").read_text()


def interrupt(argv):
    arguments.say_how_to_continue(["python", "a b.py"])
    raise KeyboardInterrupt


def fill_the_disk(argv):
    arguments.say_how_to_continue(["python", "it's.py"])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/best.keras")


@pytest.mark.parametrize(
    ("main", "status", "line"),
    [
        (raise_own, 2, "error: The rule. Received: x"),
        (raise_of_the_project, 2, "error: "),
        (open_missing, 2, "Received: nowhere/file (No such file or directory)"),
        (interrupt, 130, "Interrupted. To continue: python 'a b.py'"),
        (fill_the_disk, 2, "run/best.keras (No space left on device). To"),
        (fill_the_disk, 2, """To continue: python 'it'"'"'s.py'"""),
    ],
)
def test_command_says_it_in_one_line(capfd, main, status, line):
    with pytest.raises(SystemExit, match=str(status)):
        arguments.command(main)([])
    (printed,) = capfd.readouterr().err.strip().splitlines()
    assert line in printed


def test_command_does_not_hide_errors_that_are_not_the_users():
    with pytest.raises(ValueError, match="units"):
        arguments.command(raise_from_keras)([])
    assert arguments.command(os.path.basename)("a/b") == "b"
