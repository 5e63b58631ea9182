import pathlib

import pytest

from keras_coordconv.experiments.training import history

pytestmark = pytest.mark.tensorflow_backend
SMALL = ("--limit-examples", 40, "--epochs", 2)


@pytest.mark.parametrize(
    ("probe", "names"),
    [
        ("row", {"conv_valid", "conv_same", "coordconv_same"}),
        ("side", {"conv_valid", "conv_same", "coordconv_same"}),
    ],
)
def test_small_run(scripts, probe, names):
    import position_probes

    metrics = position_probes.main(
        [*("--probe", probe, "--workdir", "run"), *map(str, SMALL)]
    )
    assert history.read_metrics("run") == metrics
    scores = {"row": ("distance", "r2"), "side": ("accuracy",)}[probe]
    assert metrics.keys() - {"seconds", "parameters"} == {
        f"{name}_{subset}_{score}"
        for name in names
        for subset in ("train", "test")
        for score in scores
    }
    # A row that is always answered with the mean has 0.
    assert all(metrics[name] < 1 for name in metrics if name.endswith("r2"))
    figure = pathlib.Path("run/figures/by_place.png").read_bytes()
    assert figure.startswith(b"\x89PNG")


def test_killed_and_resumed(scripts):
    flags = ("--probe", "strides", "--limit-examples", 20, "--epochs", 4)
    _, rows = scripts.kill_and_resume("position_probes", *flags)
    assert len(rows) == 5


def test_split_is_refused_where_it_has_no_effect(scripts, capsys):
    import position_probes

    with pytest.raises(SystemExit, match="2"):
        position_probes.main(["--split", "quadrant"])
    message = capsys.readouterr().err
    assert "--split quadrant, which is for --probe strides" in message
