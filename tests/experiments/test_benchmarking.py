import argparse
import json

import numpy as np
import pytest

from keras_coordconv.experiments import benchmarking


@pytest.mark.parametrize("seed", [None, 0])
def test_turns(seed):
    order = []

    def measurement(name, values):
        values = iter(values)

        def measure():
            order.append(name)
            return next(values)

        return measure

    found = benchmarking.measure_in_turns(
        {
            "a": measurement("a", [(2, 3), (4, 5), (8, 9)]),
            "b": measurement("b", [(4, 9), (2, 10), (8, 9)]),
            "c": measurement("c", [1, 2, 3]),
        },
        turns=3,
        seed=seed,
    )
    turns = ["".join(order[first : first + 3]) for first in (0, 3, 6)]
    assert {"".join(sorted(turn)) for turn in turns} == {"abc"}
    assert (turns == ["abc"] * 3) == (seed is None)
    np.testing.assert_array_equal(found["c"], [1, 2, 3])
    ratios = benchmarking.median_ratio(found["b"], found["a"])
    # Of 2, 1/2, 1 and of 3, 2, 1: turn by turn, not of the medians.
    assert ratios == [1, 2]
    assert benchmarking.median_ratio(found["c"], found["c"]) == 1


def test_results(tmp_path, capsys):
    args = argparse.Namespace(output=str(tmp_path / "new"), turns=3)
    output = benchmarking.make_output(args)
    results = benchmarking.write_results(output, args, [{"a": 1}], other=2)
    path = tmp_path / "new/results.json"
    assert json.loads(path.read_text()) == results
    assert results["arguments"] == {"turns": 3}
    assert (results["rows"], results["other"]) == ([{"a": 1}], 2)
    assert "cores" in results["machine"]
    assert capsys.readouterr().out == f"written: {path}\n"
