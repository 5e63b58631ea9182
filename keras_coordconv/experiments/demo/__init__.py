"""Web demo of the trained models.

    python -m keras_coordconv.experiments.demo

`models.py` runs the models, `game.py` plays a game, `drawing.py` draws, and
`page.py` builds the page.
"""
