"""The page: one tab per task, with both models side by side."""

import functools
import tempfile

import gradio as gr
import numpy as np

from keras_coordconv._install import install_command
from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.datasets import not_so_clevr
from keras_coordconv.experiments.datasets import scattered_mnist
from keras_coordconv.experiments.demo import drawing
from keras_coordconv.experiments.demo import game
from keras_coordconv.experiments.reinforcement.environments import (
    make_environments,
)
from keras_coordconv.serving import ServingError

MODELS = {"Convolution": "_conv", "CoordConv": ""}
START = (46, 44)  # In the held-out quadrant.
HELD_OUT = CANVAS_SIZE // 2 + 1  # First row and column of the quadrant.
DETECTOR = "scattered_mnist_detector"
GENERATOR = "clevr_generator"
MIN_SCORE = 0.8
SLIDERS = 4
# Pictures are files until they are this old.
KEPT_SECONDS = 600


def build_page(models):
    """Build the page.

    Args:
        models: `SavedModels` or `ServingClient`.

    Returns:
        `gradio.Blocks`.
    """
    with gr.Blocks(
        title="CoordConv",
        analytics_enabled=False,
        delete_cache=(KEPT_SECONDS, KEPT_SECONDS),
    ) as page:
        gr.Markdown("# Convolution vs. CoordConv")
        for title, task, predict in (
            (
                "Classification",
                "The networks get a position (x, y) and mark the pixel there.",
                _classify,
            ),
            (
                "Rendering",
                "The networks get a position (x, y) and draw the 9 x 9 square "
                "around it.",
                _render,
            ),
            (
                "Regression",
                "The networks get an image with one white pixel and predict "
                "where it is (green cross).",
                _locate,
            ),
        ):
            with gr.Tab(title):
                _position_tab(page, task, functools.partial(predict, models))
        with gr.Tab("Detector"):
            _detector_tab(page, models)
        if _has(models, GENERATOR):
            with gr.Tab("Generator"):
                _generator_tab(page, models)
        if _has(models, game.AGENT):
            with gr.Tab("Game"):
                _game_tab(models)
    return page


def _position_tab(page, task, predict):
    gr.Markdown(
        f"{task} Both were trained on three quadrants of the canvas, never on "
        "the blue one. Click a position in the blue quadrant, then another "
        "one outside of it: which network is right in both?"
    )
    text = gr.Markdown(elem_classes="answer")
    with gr.Row():
        canvas = gr.Image(
            _canvas(*START),
            label="click a position",
            interactive=False,
            buttons=[],
        )
        pictures = [
            gr.Image(label=name, interactive=False, buttons=[])
            for name in MODELS
        ]
    outputs = [canvas, *pictures, text]

    def show(x, y):
        answers = {
            name: predict(suffix, x, y) for name, suffix in MODELS.items()
        }
        words = [
            f"{name}: **{answer}**" for name, (_, answer) in answers.items()
        ]
        return (
            _canvas(x, y),
            *(picture for picture, _ in answers.values()),
            f"position: ({x}, {y})  ·  " + "  ·  ".join(words),
        )

    @_show_errors
    def click(event: gr.SelectData):
        half = not_so_clevr.SQUARE_HALF_SIZE
        return show(*drawing.position_of(event.index, CANVAS_SIZE, half))

    canvas.select(click, None, outputs)
    _fill(page, functools.partial(show, *START), outputs)


def _classify(models, suffix, x, y):
    """Return a picture of the probabilities, and the result as text."""
    answer = _predict(models, f"coordinate_classification{suffix}", x, y)
    image = answer["probabilities"].reshape(CANVAS_SIZE, CANVAS_SIZE)
    found = int(answer["column"][0]), int(answer["row"][0])
    picture = _mark(drawing.enlarge(image / image.max()), x, y)
    return picture, _offset(found, (x, y))


def _render(models, suffix, x, y):
    """Return a picture of the square, and the result as text."""
    image = _predict(models, f"rendering{suffix}", x, y)["image"][0, ..., 0]
    (truth,) = not_so_clevr.draw_squares(np.array([[x, y]]))[..., 0] > 0.5
    found = image > 0.5
    iou = (found & truth).sum() / (found | truth).sum()
    picture = _mark(drawing.enlarge(image), x, y)
    return picture, f"IOU {iou:.2f} (1 is perfect)"


def _locate(models, suffix, x, y):
    """Return a picture of the predicted position, and the result as text."""
    image = not_so_clevr.draw_centers(np.array([[x, y]]))
    answer = models.predict(
        f"coordinate_regression{suffix}", {"image": image}, "tensor"
    )
    found = CANVAS_SIZE * answer["location"][0]
    picture = _mark(drawing.enlarge(image[0, ..., 0]), x, y)
    inside = np.clip(found, 0, CANVAS_SIZE - 1)
    drawing.cross(picture, *inside, drawing.GREEN)
    return picture, _offset(found, (x, y))


def _predict(models, name, x, y):
    location = np.array([[x, y]], "float32")
    return models.predict(name, {"location": location}, "tensor")


def _offset(found, truth):
    distance = np.hypot(*np.subtract(found, truth))
    return f"({found[0]:.0f}, {found[1]:.0f}), {distance:.1f} pixels off"


def _canvas(x, y):
    """Draw the canvas with the held-out quadrant and the position."""
    image = np.zeros((CANVAS_SIZE, CANVAS_SIZE, 3), "uint8")
    image[HELD_OUT:, HELD_OUT:] = drawing.BLUE
    image[y, x] = drawing.WHITE
    return drawing.cross(drawing.enlarge(image), x, y, drawing.RED)


def _mark(picture, x, y):
    """Draw the outline of the held-out quadrant, and the position."""
    quadrant = (HELD_OUT, HELD_OUT, CANVAS_SIZE, CANVAS_SIZE)
    drawing.outline(picture, quadrant, drawing.LIGHT_BLUE)
    return drawing.cross(picture, x, y, drawing.RED)


def _detector_tab(page, models):
    with gr.Row():
        with gr.Column():
            gr.Markdown(
                "The detector finds five digits at random positions. Boxes "
                f"with a score of at least {MIN_SCORE} are shown. It was "
                "trained on MNIST; these digits are from scikit-learn."
            )
            shuffle = gr.Button("Shuffle", variant="primary")
            text = gr.Markdown(elem_classes="answer")
        found = gr.Image(label="detections", interactive=False, buttons=[])

    @_show_errors
    def detect():
        digits = scattered_mnist.load_stand_in("test")
        seed = int(np.random.default_rng().integers(2**31))
        image = scattered_mnist.load_arrays(digits, "test", 1, seed)["image"]
        answer = models.predict(DETECTOR, {"image": image}, "tensor")
        scores = answer["scores"][0]
        picture = drawing.enlarge(image[0, ..., 0])
        for box in answer["boxes"][0][scores >= MIN_SCORE]:
            drawing.outline(picture, box, drawing.GREEN)
        words = " ".join(f"{s:.2f}" for s in scores if s >= MIN_SCORE)
        return picture, f"scores: {words}"

    shuffle.click(detect, None, [found, text])
    _fill(page, detect, [found, text])


def _generator_tab(page, models):
    ((name, spec),) = models.metadata(GENERATOR)["tensor"]["inputs"].items()
    gr.Markdown(
        "A CoordConv GAN draws a red and a blue object from latent variables. "
        "Four of them have a slider: move one to see what it changes."
    )
    numbers = gr.State([0.0] * spec["shape"][-1])
    with gr.Row():
        with gr.Column():
            sliders = [
                gr.Slider(-1, 1, 0, step=0.05, label=f"latent variable {index}")
                for index in range(SLIDERS)
            ]
            shuffle = gr.Button("Shuffle all variables", variant="primary")
        image = gr.Image(label="generated image", interactive=False, buttons=[])

    @_show_errors
    def generate(numbers, *first):
        numbers = np.array([[*first, *numbers[SLIDERS:]]], "float32")
        answer = models.predict(GENERATOR, {name: numbers}, "tensor")
        return drawing.enlarge(answer["image"][0])

    def draw_numbers():
        drawn = np.random.default_rng().uniform(-1, 1, spec["shape"][-1])
        drawn = drawn.round(2).tolist()
        return drawn, *drawn[:SLIDERS]

    for slider in sliders:
        slider.change(generate, [numbers, *sliders], image)
    shuffle.click(draw_numbers, None, [numbers, *sliders])
    _fill(page, draw_numbers, [numbers, *sliders])


def _game_tab(models):
    gr.Markdown(
        f"The agent has learned to play {game.NAME} from the score alone. At "
        "each step, it samples an action from the probabilities it predicts."
    )
    try:
        environments = make_environments(game.NAME, count=1)
    except ImportError:
        gr.Markdown(f"To watch it play, run `{install_command('atari')}`.")
        return
    folder = tempfile.TemporaryDirectory()
    steps = gr.State([])
    play = gr.Button("Play a game", variant="primary")
    with gr.Row():
        animation = gr.Image(
            label="game",
            interactive=False,
            buttons=[],
            elem_classes="enlarged",
        )
        frame = gr.Image(label="selected step", interactive=False, buttons=[])
        with gr.Column():
            number = gr.Slider(0, 1, step=1, label="step", interactive=False)
            actions = gr.Label(
                label="actions", num_top_classes=6, show_heading=False
            )
    text = gr.Markdown(elem_classes="answer")

    def show(steps, number):
        observation, probabilities = steps[number]
        image = environments.newest_image(observation)
        return drawing.enlarge(image), game.name_actions(probabilities)

    @_show_errors
    def play_game():
        seed = int(np.random.default_rng().integers(2**31))
        score, steps = game.play(models, environments, seed)
        path = f"{folder.name}/game.gif"
        environments.save_animation([seen for seen, _ in steps], path)
        slider = gr.Slider(maximum=len(steps) - 1, value=0, interactive=True)
        words = f"score: **{score:g}**"
        return steps, path, slider, *show(steps, 0), words

    play.click(
        play_game, None, [steps, animation, number, frame, actions, text]
    )
    number.change(show, [steps, number], [frame, actions])


def _fill(page, function, outputs):
    """Show the answers of a function when the page opens."""

    def fill():
        try:
            return function()
        except (gr.Error, ServingError, ValueError):
            # A click reports it.
            return [gr.skip()] * len(outputs)

    page.load(fill, None, outputs, show_progress="hidden")


def _show_errors(function):
    """Show errors of the server and of the models as a message on the page."""

    @functools.wraps(function)
    def answer(*arguments):
        try:
            return function(*arguments)
        except (ServingError, ValueError) as error:
            raise gr.Error(
                str(error), duration=None, print_exception=False
            ) from error

    return answer


def _has(models, name):
    try:
        return bool(models.status(name))
    except ServingError:
        return False
