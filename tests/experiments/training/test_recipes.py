"""Flags, and recipes with their defaults."""

import json

import pytest

from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import recipes

RECIPES = {
    "--layer coordconv": {"scale": 2.0, "epochs": 3, "warmup_epochs": 0.5},
    "--layer conv": {"width": 4, "epochs": 90, "warmup_epochs": 5.0},
    "--layer conv --split quadrant": {"epochs": 30},
}


def parse(*given):
    parser = flags.build_parser("A toy.\n\n    python toy.py")
    group = flags.add_task(parser, ("uniform", "quadrant"))
    group.add_argument("--scale", type=flags.not_negative_number)
    group.add_argument("--width", type=flags.positive_integer)
    flags.add_training(parser)
    # In no recipe: these mean nothing here.
    parser.set_defaults(batch_size=8, learning_rate=0.1, l2=0.0)
    return recipes.parse(parser, RECIPES, [str(flag) for flag in given])


@pytest.mark.parametrize(
    ("given", "expected"),
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
def test_recipes(given, expected):
    args = vars(parse(*given))
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
    ("given", "message"),
    [
        (("--width", 3), "--width has no .*it applies only to --layer conv."),
        (
            ("--layer", "conv", "--scale", 3),
            "--scale has no .*it applies only to --layer coordconv.",
        ),
        (
            ("--warmup-epochs", 3),
            "--warmup-epochs must be less .* Received: 3 and 3",
        ),
        (("--resume",), "--resume needs --workdir"),
        (("--export-dir", "file/out"), "--export-dir must be a writable"),
    ],
)
def test_flags_that_do_not_fit(tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=message):
        parse(*given)


@pytest.mark.parametrize(
    ("given", "message"),
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
def test_flags_that_do_not_exist(capsys, given, message):
    with pytest.raises(SystemExit, match="2"):
        parse(*given)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line


def test_warmup_nobody_asked_for_fits_the_epochs():
    args = parse("--layer", "conv", "--epochs", 1)
    assert (args.epochs, args.warmup_epochs) == (1, 0.5)
    assert parse("--layer", "conv", "--epochs", 20).warmup_epochs == 5


def write_args(folder, **settings):
    args = {**vars(parse("--layer", "conv", "--workdir", folder)), **settings}
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
    ("given", "message"),
    [
        (("--epochs", 13), "--epochs is 12 in .*, received 13"),
        (("--layer", "coordconv"), "--layer is conv in .*, received coordconv"),
        (("--scale", 1), "--scale is None in .*, received 1.0"),
    ],
)
def test_resume_with_other_flags(tmp_path, given, message):
    write_args(tmp_path, epochs=12)
    with pytest.raises(ValueError, match=f"cannot change .*: {message}"):
        parse("--resume", "--workdir", tmp_path, *given)


@pytest.mark.parametrize("given", [(), ("--epochs", 12, "--layer", "conv")])
def test_resume_starts_where_there_is_no_run(tmp_path, given):
    """The same command starts a run and continues it."""
    command = ("--resume", "--workdir", tmp_path, *given)
    args = parse(*command)
    assert args == parse(*command)
    assert args.resume and args.epochs == (12 if given else 3)
    begun = {name: x for name, x in vars(args).items() if name != "resume"}
    (tmp_path / "args.json").write_text(json.dumps(begun))
    assert parse(*command) == args


def test_resume_a_run_of_another_script(tmp_path):
    write_args(tmp_path, game="Seaquest")
    with pytest.raises(ValueError, match="has the unknown flags game"):
        parse("--resume", "--workdir", tmp_path)


def test_export_needs_tensorflow(monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(ValueError, match="Received: KERAS_BACKEND=jax"):
        parse("--export-dir", "out")


def test_tensorboard_needs_its_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="Run: pip install tensorboard"):
        parse("--tensorboard", "logs")
