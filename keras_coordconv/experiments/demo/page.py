"""The page: one tab per task, with both networks beside each other.

Each tab has a `gr.State` of what is asked. Its answer is shown when the tab
opens, and again whenever the state changes.
"""

import functools
import tempfile

import gradio as gr
import numpy as np
from keras import ops
from keras.utils import bounding_boxes
from scipy.optimize import linear_sum_assignment

from keras_coordconv._install import install_command
from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.datasets import koppen
from keras_coordconv.experiments.datasets import not_so_clevr
from keras_coordconv.experiments.datasets import scattered_mnist
from keras_coordconv.experiments.demo import climate
from keras_coordconv.experiments.demo import drawing
from keras_coordconv.experiments.demo import game
from keras_coordconv.experiments.plots import globe
from keras_coordconv.experiments.reinforcement.environments import (
    make_environments,
)
from keras_coordconv.serving import ServingError

MODELS = {"Convolution": "_conv", "CoordConv": ""}
# The held-out quadrant, and a position in it.
QUADRANT = (CANVAS_SIZE // 2 + 1,) * 2 + (CANVAS_SIZE,) * 2
START = [51, 48]
# Column and row of a place in the Congo Basin, which is held out.
START_PLACE = [203, 89]
DETECTOR = "scattered_mnist_detector"
MIN_SCORE = 0.8
# A digit is found if a box overlaps its true box by this IOU.
MIN_IOU = 0.5
START_DIGITS = 418
GENERATOR = "clevr_generator"
# Rows and columns of generated images.
GRID = (3, 4)
GRID_SCALE = 3
START_IMAGES = 4
START_GAME = 0
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
        for title, task, draw, predict in (
            (
                "Classification",
                "Each network gets a position (x, y) and marks the pixel there "
                "in white. Is the white pixel in the middle of the cross?",
                not_so_clevr.draw_centers,
                _classify,
            ),
            (
                "Rendering",
                "Each network gets a position (x, y) and draws the 9 x 9 "
                "square around it in white. Is the cross in the middle of the "
                "square?",
                not_so_clevr.draw_squares,
                _render,
            ),
            (
                "Regression",
                "Each network gets the first image and predicts the position "
                "of the white pixel. Is the pixel that it finds in the middle "
                "of the cross?",
                not_so_clevr.draw_centers,
                _locate,
            ),
        ):
            with gr.Tab(title) as tab:
                _position_tab(
                    tab, task, draw, functools.partial(predict, models)
                )
        for title, name, build in (
            ("Climate", climate.MODEL, _climate_tab),
            ("Detector", DETECTOR, _detector_tab),
            ("Generator", GENERATOR, _generator_tab),
            ("Game", game.AGENT, _game_tab),
        ):
            if _has(models, name):
                with gr.Tab(title) as tab:
                    build(tab, models)
    return page


def _panels(*labels, kind="panels"):
    """Add pictures beside each other, and above them the answer in words.

    Returns:
        List of the text and the pictures.
    """
    text = gr.Markdown(elem_classes="answer")
    with gr.Row(elem_classes=kind):
        pictures = [_picture(label) for label in labels]
    return [text, *pictures]


def _picture(label):
    return gr.Image(
        label=label, show_label=bool(label), interactive=False, buttons=[]
    )


def _show_when(events, show, asked, outputs):
    gr.on(events, _show_errors(show), asked, outputs)


def _ask_by_click(picture, asked, *canvas):
    """Ask for the position that is clicked on a picture."""

    def click(event: gr.SelectData):
        return drawing.position_of(event.index, *canvas)

    picture.select(click, None, asked)


def _ask_by_button(label, asked):
    """Ask for the example of a random seed when a button is clicked."""

    def draw_seed():
        return int(np.random.default_rng().integers(2**31))

    gr.Button(label, variant="primary").click(draw_seed, None, asked)


def _position_tab(tab, task, draw, predict):
    gr.Markdown(
        f"{task} Click a position in the outlined quadrant, in which neither "
        "network was trained, and one outside of it."
    )
    asked = gr.State(START)
    panels = _panels("Truth: click a position", *MODELS)

    def show(asked):
        answers = [predict(suffix, *asked) for suffix in MODELS.values()]
        (truth,) = draw(np.array([asked]))[..., 0]
        pictures = [
            drawing.enlarge(image)
            for image in (truth, *(image for image, _ in answers))
        ]
        for picture in pictures:
            drawing.outline(picture, QUADRANT, drawing.BLUE)
            drawing.cross(picture, *asked, drawing.ORANGE)
        words = [
            f"{name}: **{words}**"
            for name, (_, words) in zip(MODELS, answers, strict=True)
        ]
        x, y = asked
        return " · ".join([f"Position ({x}, {y})", *words]), *pictures

    _show_when([tab.select, asked.change], show, [asked], panels)
    half = not_so_clevr.SQUARE_HALF_SIZE
    _ask_by_click(panels[1], asked, CANVAS_SIZE, half)


def _classify(models, suffix, x, y):
    """Return an image of the probabilities, and the result as text."""
    answer = _predict(models, f"coordinate_classification{suffix}", x, y)
    image = answer["probabilities"].reshape(CANVAS_SIZE, CANVAS_SIZE)
    found = answer["column"][0], answer["row"][0]
    return image / image.max(), _offset(found, (x, y))


def _render(models, suffix, x, y):
    """Return an image of the square, and the result as text."""
    image = _predict(models, f"rendering{suffix}", x, y)["image"][0, ..., 0]
    (truth,) = not_so_clevr.draw_squares(np.array([[x, y]]))[..., 0] > 0.5
    found = image > 0.5
    iou = (found & truth).sum() / (found | truth).sum()
    return image, "exact" if iou == 1 else f"overlap {iou:.2f} of 1"


def _locate(models, suffix, x, y):
    """Return an image of the position found, and the result as text."""
    image = not_so_clevr.draw_centers(np.array([[x, y]]))
    answer = models.predict(
        f"coordinate_regression{suffix}", {"image": image}, "tensor"
    )
    found = np.round(CANVAS_SIZE * answer["location"][0])
    inside = np.clip(found, 0, CANVAS_SIZE - 1).astype(int)
    return not_so_clevr.draw_centers(inside[None])[0, ..., 0], _offset(
        found, (x, y)
    )


def _predict(models, name, x, y):
    location = np.array([[x, y]], "float32")
    return models.predict(name, {"location": location}, "tensor")


def _offset(found, truth):
    pixels = round(float(np.hypot(*np.subtract(found, truth))))
    if pixels == 0:
        return "exact"
    return f"{pixels} pixel{'s' if pixels > 1 else ''} off"


def _climate_tab(tab, models):
    try:
        koppen.find_files()
    except ValueError:
        gr.Markdown(f"To try it, run `{install_command('earth')}`.")
        return
    legend = " ".join(
        f'<span style="color: {color}">■</span> {name}'
        for name, color in zip(koppen.CLASSES, globe.COLORS, strict=True)
    )
    gr.Markdown(
        "Each network sees the relief of 7 x 7 degrees and predicts the "
        "climate in the middle; CoordConv also gets the latitude and "
        "longitude. Which network is right on the outlined land, where neither "
        "was trained? Click a place."
    )
    asked = gr.State(START_PLACE)
    panels = _panels("Measured: click a place", *MODELS, kind="panels maps")
    gr.Markdown(
        f"{legend} · pale: land with training data", sanitize_html=False
    )
    # Reading the maps takes seconds.
    earth = functools.cache(lambda: climate.Earth(models))

    def show(asked):
        return earth().describe(*asked), *earth().pictures(*asked)

    _show_when([tab.select, asked.change], show, [asked], panels)
    _ask_by_click(panels[1], asked, koppen.SIZES[::-1], 0, climate.SCALE)


def _detector_tab(tab, models):
    gr.Markdown(
        "A detector with CoordConv draws a box around each of five digits. "
        "Does each true box (blue) have one box of the detector (orange)? The "
        "detector was trained on MNIST; these digits are from scikit-learn."
    )
    asked = gr.State(START_DIGITS)
    with gr.Row():
        _ask_by_button("Shuffle", asked)
        min_score = gr.Slider(
            *(0, 1, MIN_SCORE),
            step=0.05,
            label="Lowest score shown",
        )
    panels = _panels("", kind="single")

    def show_boxes(seed, min_score):
        digits = scattered_mnist.load_stand_in("test")
        example = scattered_mnist.load_arrays(digits, "test", 1, seed)
        (image,), (true_boxes,) = example["image"], example["boxes"]
        answer = models.predict(DETECTOR, {"image": image[None]}, "tensor")
        (boxes,), (scores,) = answer["boxes"], answer["scores"]
        # Boxes with a score of 0 are padding.
        boxes = boxes[(scores >= min_score) & (scores > 0)]
        picture = drawing.enlarge(image[..., 0])
        for box in true_boxes:
            drawing.outline(picture, box, drawing.BLUE, 4)
        for box in boxes:
            drawing.outline(picture, box, drawing.ORANGE)
        found = _count_found(true_boxes, boxes)
        return (
            f"**{found} of {len(true_boxes)} digits** found with "
            f"{len(boxes)} boxes (overlap of at least half)",
            picture,
        )

    _show_when(
        [tab.select, asked.change, min_score.change],
        *(show_boxes, [asked, min_score], panels),
    )


def _count_found(true_boxes, boxes):
    """Count the true boxes that have a box of their own."""
    ious = ops.convert_to_numpy(
        bounding_boxes.compute_iou(true_boxes, boxes, "yxyx")
    )
    pairs = linear_sum_assignment(ious >= MIN_IOU, maximize=True)
    return (ious[pairs] >= MIN_IOU).sum()


def _generator_tab(tab, models):
    ((name, spec),) = models.metadata(GENERATOR)["tensor"]["inputs"].items()
    size = spec["shape"][-1]
    rows, columns = GRID
    gr.Markdown(
        f"A CoordConv GAN draws each image from {size} random numbers. It "
        "learned from images of a red and a blue object: which of its images "
        "have both?"
    )
    asked = gr.State(START_IMAGES)
    _ask_by_button("Shuffle", asked)
    panels = _panels("", kind="single")

    def show(seed):
        random = np.random.default_rng(seed)
        numbers = random.uniform(-1, 1, (rows * columns, size))
        answer = models.predict(
            GENERATOR, {name: numbers.astype("float32")}, "tensor"
        )
        images = answer["image"].reshape(GRID + answer["image"].shape[1:])
        # Beside each other in each row, and the rows below each other.
        grid = np.concatenate(np.concatenate(images, axis=1), axis=1)
        return "", drawing.enlarge(grid, GRID_SCALE)

    _show_when([tab.select, asked.change], show, [asked], panels)


def _game_tab(tab, models):
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
    asked = gr.State(START_GAME)
    _ask_by_button("Play another game", asked)
    text = gr.Markdown(elem_classes="answer")
    with gr.Row(elem_classes="panels game"):
        animation, frame = _picture("Game"), _picture("Selected step")
        with gr.Column():
            number = gr.Slider(0, 1, step=1, label="Step", interactive=False)
            actions = gr.Label(
                label="Actions", num_top_classes=6, show_heading=False
            )

    def show(steps, number):
        observation, probabilities = steps[number]
        image = environments.newest_image(observation)
        return drawing.enlarge(image), game.name_actions(probabilities)

    # The game that is shown is not played again when the tab is opened again.
    @functools.lru_cache(maxsize=1)
    def play(seed):
        score, steps = game.play(models, environments, seed)
        path = f"{folder.name}/game.gif"
        environments.save_animation([seen for seen, _ in steps], path)
        return score, steps, path

    def show_game(seed):
        score, steps, path = play(seed)
        slider = gr.Slider(maximum=len(steps) - 1, value=0, interactive=True)
        return steps, path, slider, *show(steps, 0), f"Score: **{score:g}**"

    _show_when(
        [tab.select, asked.change],
        *(show_game, [asked]),
        [steps, animation, number, frame, actions, text],
    )
    number.change(show, [steps, number], [frame, actions])


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
