"""The web demo, in a real browser."""

import io
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from PIL import Image

from keras_coordconv._install import install_command
from keras_coordconv.experiments.demo import __main__ as demo
from keras_coordconv.experiments.demo import drawing
from keras_coordconv.experiments.demo import game
from keras_coordconv.experiments.demo.models import SavedModels
from keras_coordconv.experiments.models import actor_critic
from keras_coordconv.serving import export_for_serving

pytestmark = pytest.mark.tensorflow_backend

ROOT = pathlib.Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("requires the browser chromium")
    with api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)


@pytest.fixture
def start(browser, tmp_path):
    """Return a function that starts the demo with flags and opens its page."""
    pytest.importorskip("gradio")
    processes = []

    def start_demo(*flags):
        port = free_port()
        command = [sys.executable, "-m", "keras_coordconv.experiments.demo"]
        with open(tmp_path / "log", "w") as log:
            process = subprocess.Popen(
                [*command, "--port", str(port), *flags], cwd=ROOT, stderr=log
            )
        processes.append(process)
        deadline = time.monotonic() + 300
        while is_closed(port):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        page = browser.new_page(viewport={"width": 1280, "height": 850})
        page.set_default_timeout(120_000)
        page.goto(f"http://127.0.0.1:{port}")
        return page

    yield start_demo
    for process in processes:
        process.kill()
        process.wait()


def is_closed(port):
    with socket.socket() as probe:
        return bool(probe.connect_ex(("127.0.0.1", port)))


def listening_addresses(port):
    lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    local = [line.split()[1].split(":") for line in lines]
    return {address for address, number in local if int(number, 16) == port}


def click_position(page, tab, x, y):
    """Click a position of the canvas and return the text below the pictures."""
    page.get_by_role("tab", name=tab).click()
    canvas = page.locator("img:visible").first
    box = canvas.bounding_box()
    scale = box["width"] / 64
    canvas.click(position={"x": (x + 0.5) * scale, "y": (y + 0.5) * scale})
    words = page.locator(".prose.answer:visible", has_text=f"({x}, {y})")
    words.wait_for()
    return words.inner_text()


def test_both_models_side_by_side(start):
    page = start()
    port = int(page.url.rstrip("/").rpartition(":")[2])
    assert listening_addresses(port) == {"0100007F"}  # 127.0.0.1
    # The page opens with an answer, in the held-out quadrant.
    first = page.locator(".prose.answer:visible", has_text="(46, 44)")
    first.wait_for()
    plain, coordconv = re.findall(r"([\d.]+) pixels off", first.inner_text())
    assert float(plain) > 3 and coordconv == "0.0"
    for tab, number, plain_is_wrong in (
        ("Classification", r"([\d.]+) pixels off", lambda off: off > 3),
        ("Regression", r"([\d.]+) pixels off", lambda off: off > 3),
        ("Rendering", r"IOU ([\d.]+)", lambda iou: iou < 0.6),
    ):
        words = click_position(page, tab, 51, 48)  # Held-out quadrant.
        plain, coordconv = map(float, re.findall(number, words))
        assert plain_is_wrong(plain), words
        assert coordconv == (1.0 if tab == "Rendering" else 0.0), words
        words = click_position(page, tab, 20, 30)
        assert float(re.findall(number, words)[1]) == coordconv, words
    page.get_by_role("tab", name="Detector").click()
    page.get_by_role("button", name="Shuffle").click()
    words = page.locator(".prose.answer:visible", has_text="scores: ")
    words.wait_for()
    scores = map(float, words.inner_text().removeprefix("scores: ").split())
    assert all(0.8 <= score <= 1 for score in scores)
    page.get_by_role("tab", name="Generator").click()
    page.get_by_role("button", name="Shuffle all").click()
    page.locator("img:visible").wait_for()


def test_game(start, tmp_path):
    pytest.importorskip("ale_py")
    export_for_serving(
        actor_critic.image_actor_critic(18, (4, 84, 84)),
        tmp_path / "models" / "seaquest_policy",
        outputs=actor_critic.serving_outputs,
    )
    page = start("--saved-models", str(tmp_path / "models"))
    page.get_by_role("tab", name="Game").click()
    page.get_by_role("button", name="Play").click()
    words = page.locator(".prose.answer:visible", has_text="score: ")
    words.wait_for()
    assert re.fullmatch(r"score: \d*0", words.inner_text())  # A multiple of 10.
    moving, still = page.locator("img:visible").all()
    answer = page.request.get(moving.get_attribute("src"))
    with Image.open(io.BytesIO(answer.body())) as image:
        frames = image.n_frames  # Equal frames are merged.
    slider = page.locator("input[type=range]:visible")
    assert 100 < frames <= int(slider.get_attribute("max")) + 1
    # The agent is untrained: its 18 actions are about equally likely.
    actions = page.locator("[data-testid=label]:visible").inner_text()
    assert re.fullmatch(r"actions(\n[A-Z]+\n[56]%){6}", actions)
    first = still.get_attribute("src")
    page.locator("input[type=number]:visible").fill("99")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "([image, first]) => image.src != first",
        arg=[still.element_handle(), first],
    )


def test_game_without_atari(monkeypatch):
    pytest.importorskip("gradio")
    from keras_coordconv.experiments.demo.page import build_page

    class Models:
        def status(self, model):
            return {1: "AVAILABLE"} if model == "seaquest_policy" else {}

    monkeypatch.setitem(sys.modules, "ale_py", None)
    blocks = build_page(Models()).blocks.values()
    words = [getattr(block, "value", None) for block in blocks]
    assert f"To watch it play, run `{install_command('atari')}`." in words


def test_unreachable_server_shows_one_message(start):
    address = f"http://127.0.0.1:{free_port()}"
    page = start("--server", address)
    page.locator("img:visible").first.click()
    message = page.get_by_text(f"No valid response from {address}")
    message.wait_for()
    assert message.count() == 1


def damage_variables(path):
    file = path / "variables/variables.data-00000-of-00001"
    file.write_bytes(file.read_bytes()[:100])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_variables, "Read less bytes than requested"),
        (lambda path: shutil.rmtree(path / "variables"), "variables"),
        (lambda path: (path / "saved_model.pb").unlink(), "does not exist"),
        (
            lambda path: (path / "saved_model.pb").write_bytes(b"junk"),
            "Cannot parse file",
        ),
        (lambda path: (path.parent / "2").mkdir(), "does not exist"),
    ],
)
def test_damaged_version_is_a_message(tmp_path, damage, reason):
    gradio = pytest.importorskip("gradio")
    from keras_coordconv.experiments.demo import page

    path = tmp_path / "rendering/1"
    shutil.copytree(ROOT / "saved_models/rendering/1", path)
    damage(path)
    render = page._show_errors(page._render)
    with pytest.raises(gradio.Error) as raised:
        render(SavedModels(tmp_path), "", 40, 22)
    message = raised.value.message
    assert message.startswith("Could not load or run the signature 'tensor' of")
    assert reason in message and "\n" not in message


def test_unknown_models_and_signatures():
    models = SavedModels(ROOT / "saved_models")
    location = {"location": np.float32([[40, 22]])}
    with pytest.raises(ValueError, match="Unknown model 'nobody'"):
        models.predict("nobody", location)
    with pytest.raises(ValueError, match="the signature 'other' of"):
        models.predict("rendering", location, "other")
    with pytest.raises(ValueError, match="the signature 'tensor' of"):
        models.predict("rendering", {"place": [1.0]}, "tensor")


def test_pictures_and_uploads_are_not_kept(tmp_path, monkeypatch):
    gradio = pytest.importorskip("gradio")
    httpx = pytest.importorskip("httpx")
    from gradio_client import Client

    from keras_coordconv.experiments.demo import page

    monkeypatch.setattr(page, "KEPT_SECONDS", 1)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    launch = gradio.Blocks.launch
    pages = []

    def files():
        return {path for path in tmp_path.rglob("*") if path.is_file()}

    def launch_and_return(blocks, **settings):
        pages.append(blocks)
        launch(blocks, prevent_thread_lock=True, **settings)

    monkeypatch.setattr(gradio.Blocks, "launch", launch_and_return)
    monkeypatch.chdir(ROOT)
    demo.main(["--port", f"{free_port()}"])
    (blocks,) = pages
    try:
        # The pictures that the page shows at first are kept.
        before = files()
        client = Client(blocks.local_url, verbose=False)
        for _ in range(3):
            client.predict(api_name="/detect")
        deadline = time.monotonic() + 20
        while files() != before:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        answer = httpx.post(
            f"{blocks.local_url}gradio_api/upload",
            files={"files": ("photo.png", bytes(50_000_000))},
        )
        assert answer.status_code == 413
        assert files() == before
    finally:
        blocks.close()


def test_steps_of_a_game():
    class Models:
        """The observed number is the only possible action."""

        def predict(self, model, inputs, signature):
            assert (model, signature) == ("seaquest_policy", "tensor")
            return {"probabilities": np.eye(18)[inputs["observation"]]}

    class Countdown:
        count = 1

        def reset(self, seed):
            self.left, self.actions = 3, []
            return np.array([self.left])

        def step(self, actions):
            self.left -= 1
            self.actions += [*actions]
            return types.SimpleNamespace(
                observations=np.array([self.left]),
                over=np.array([self.left == 0]),
                scores=np.array([10.0 * len(self.actions)]),
            )

    countdown = Countdown()
    score, steps = game.play(Models(), countdown, seed=0)
    assert score == 30 and countdown.actions == [3, 2, 1]
    assert [seen for seen, _ in steps] == [3, 2, 1]
    assert [np.argmax(likely) for _, likely in steps] == [3, 2, 1]


def test_names_of_actions():
    pytest.importorskip("ale_py")
    named = game.name_actions(np.eye(18)[3])
    assert len(named) == 18 and named.pop("RIGHT") == 1
    assert not any(named.values())


def test_position_of_a_pixel():
    assert drawing.position_of((0, 383), 64) == (0, 63)
    assert drawing.position_of((45, 270), 64) == (7, 45)
    assert drawing.position_of((0, 383), 64, margin=4) == (4, 59)


def test_cross_is_clipped_to_the_picture():
    picture = drawing.enlarge(np.zeros((3, 4)))
    assert picture.shape == (18, 24, 3)
    drawing.cross(picture, 3, 0, drawing.WHITE)
    rows, columns = np.nonzero(picture[..., 0])
    # Center of the last pixel of the first row, 12 pixels to each side.
    assert {*rows[columns == 21]} == set(range(16))
    assert {*columns[rows == 3]} == set(range(9, 24))


def test_outline_of_a_box():
    picture = drawing.enlarge(np.zeros((3, 4)))
    # The right side is one pixel outside, and is drawn at the edge.
    drawing.outline(picture, (0.5, 1, 2.5, 5), drawing.WHITE)
    expected = np.zeros((18, 24), "uint8")
    expected[3:15, 6:24] = 255
    expected[5:13, 8:22] = 0
    np.testing.assert_array_equal(picture[..., 0], expected)


def test_no_models(tmp_path, capsys):
    pytest.importorskip("gradio")
    with pytest.raises(SystemExit, match="2"):
        demo.main(["--saved-models", str(tmp_path)])
    assert "No models found in --saved-models" in capsys.readouterr().err
