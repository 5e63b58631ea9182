"""One run of a supervised experiment: from the flags to metrics and figures."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from keras_coordconv.training import arguments
from keras_coordconv.training import callbacks
from keras_coordconv.training import supervised
from keras_coordconv.training.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What one supervised experiment does in its own way.

    Args:
        name: String, what its runs are kept under.
        recipes: Dictionary from `(layer, split)` to the training settings by
            the names of their flags.
        build_dataset: Function of the parsed flags, the subset, the batch size
            and a shuffle seed (or `None`), to a `tf.data.Dataset`.
        build_model: Function of the parsed flags, to a `keras.Model`.
        compile_arguments: Function of the parsed flags, to the losses and
            metrics for `compile`.
        score: String, the metric that says how good a model is.
        score_format: String, a format for the score, as `"{:.2%}"`.
        is_perfect: Function of the score, to a boolean.
        draw_figures: Function of the best model, the parsed flags and the data
            sets by name, to `matplotlib` figures by name.
        serving_outputs: As `outputs` of `export_for_serving`, or `None`.
        serving_signatures: Function of the model, to `signatures` of
            `export_for_serving`.
    """

    name: str
    recipes: dict
    build_dataset: Callable
    build_model: Callable
    compile_arguments: Callable
    score: str
    score_format: str
    is_perfect: Callable[[float], bool]
    draw_figures: Callable
    serving_outputs: Callable | None = None
    serving_signatures: Callable = lambda model: {}


def run(experiment, parser, argv=None) -> dict[str, Any]:
    """Trains, evaluates, draws and exports; all that a script does.

    Args:
        experiment: `Experiment`.
        parser: The script's parser, from `arguments.build_parser`.
        argv: List of strings, the flags, or `None` for the command line's.

    Returns:
        The dictionary that is written to `metrics.json`.
    """
    args = arguments.parse(
        parser,
        experiment.recipes,
        lambda args: (args.layer, args.split),
        argv,
    )
    try:
        folder = RunFolder(
            args.workdir,
            vars(args),
            resume=args.resume,
            default_parent=f"runs/{experiment.name}",
        )
    except ValueError as error:
        arguments.exit_with_error(error)
    keras.utils.set_random_seed(args.seed)
    keras.config.set_dtype_policy(args.dtype_policy)

    # A resumed run goes on with new permutations, not with the first again.
    shuffled = experiment.build_dataset(
        args, "train", args.batch_size, args.seed + folder.epochs_done
    )
    data = {
        subset: experiment.build_dataset(args, subset, 64, None)
        for subset in ("train", "test")
    }

    model = experiment.build_model(args)
    model.summary()
    model.compile(
        optimizer=supervised.paper_optimizer(
            args, args.steps_per_epoch or len(shuffled)
        ),
        # The steps are short: this saves the way through Python in between.
        # It rounds the steps of an epoch up.
        steps_per_execution=1 if args.steps_per_epoch else 16,
        **experiment.compile_arguments(args),
    )
    folder.restore(model)
    supervised.fit(
        model,
        shuffled.repeat() if args.steps_per_epoch else shuffled,
        data["test"],
        folder,
        epochs=args.epochs,
        steps_per_epoch=args.steps_per_epoch,
        callbacks=[
            callbacks.ScoreTrainSetWhenPerfect(
                data["train"], experiment.score, experiment.is_perfect
            )
        ],
        tensorboard=args.tensorboard,
    )
    best_model = folder.load_best_model()

    metrics = {
        "seconds": folder.seconds,
        "seconds_to_perfect": callbacks.seconds_to_perfect(
            folder.history, experiment.score, experiment.is_perfect
        ),
        "parameters": supervised.trainable_parameters(best_model),
        **supervised.evaluate(best_model, experiment.score, **data),
    }
    folder.write_metrics(metrics)
    figures = experiment.draw_figures(best_model, args, data)
    for name, figure in figures.items():
        figure.savefig(folder.figures / f"{name}.png", dpi=150)
    if args.export_dir:
        # TensorFlow only, as the flag says.
        from keras_coordconv.serving import export_for_serving

        exported = export_for_serving(
            best_model,
            args.export_dir,
            outputs=experiment.serving_outputs,
            signatures=experiment.serving_signatures(best_model),
            card={
                "task": experiment.name,
                "layer": args.layer,
                "split": args.split,
                "seed": args.seed,
                "metrics": metrics,
            },
        )
        print(f"exported: {exported}")
    for path in folder.written():
        print(f"written: {path}")
    train_score, test_score = (
        experiment.score_format.format(metrics[f"{subset}_{experiment.score}"])
        for subset in ("train", "test")
    )
    print(
        f"{args.layer}, {args.split} split: "
        f"{train_score} train {experiment.score}, "
        f"{test_score} test {experiment.score}, "
        f"{metrics['seconds']:.0f} s of training"
    )
    return metrics
