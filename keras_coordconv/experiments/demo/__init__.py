"""Web demo of the trained models.

    python -m keras_coordconv.experiments.demo

`models.py` runs the models, `climate.py` predicts the climate of the Earth,
`game.py` plays a game, `drawing.py` draws, and `page.py` builds the page.
"""
