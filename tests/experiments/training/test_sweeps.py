from keras_coordconv.experiments.training import sweeps


def test_combinations():
    product = {"layer": ["conv", "coordconv"], "epochs": [2]}
    assert sweeps.combinations(product, [0, 7]) == [
        {"layer": "conv", "epochs": 2, "seed": 0},
        {"layer": "conv", "epochs": 2, "seed": 7},
        {"layer": "coordconv", "epochs": 2, "seed": 0},
        {"layer": "coordconv", "epochs": 2, "seed": 7},
    ]
