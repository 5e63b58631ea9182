"""A page to try the trained models on.

    python -m keras_coordconv.experiments.demo

`models.py` asks the models, `game.py` plays, `drawing.py` draws, `page.py` is
the page.
"""
