"""The ImageNet pipeline against NumPy, on generated files, some damaged."""

import io

import numpy as np
import pytest
import tensorflow as tf
from image_files import encode
from image_files import numbers_of
from image_files import smooth_photo
from image_files import unnormalized
from image_files import write_folder
from image_files import write_numbered_folder
from PIL import Image

from keras_coordconv.experiments.datasets import image_decoding
from keras_coordconv.experiments.datasets import image_sources
from keras_coordconv.experiments.datasets import imagenet
from keras_coordconv.experiments.datasets import stand_in

pytestmark = pytest.mark.tensorflow_backend


@pytest.fixture
def numbered_folder(tmp_path):
    return write_numbered_folder(tmp_path / "numbered")


def bilinear(image, size):
    """Bilinear resizing in NumPy, with pixel centers at half integers."""
    height, width = image.shape[:2]

    def positions(length):
        at = (np.arange(size) + 0.5) * length / size - 0.5
        low = np.floor(at).astype(int)
        return (
            np.clip(low, 0, length - 1),
            np.clip(low + 1, 0, length - 1),
            at - low,
        )

    top, bottom, down = positions(height)
    left, right, across = positions(width)
    image = image.astype("float64")
    down, across = down[:, None, None], across[None, :, None]
    upper = image[top][:, left] * (1 - across) + image[top][:, right] * across
    lower = (
        image[bottom][:, left] * (1 - across) + image[bottom][:, right] * across
    )
    return upper * (1 - down) + lower * down


def normalized(image):
    return (image - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]


def test_evaluation_is_the_central_crop():
    image = smooth_photo(60, 80)
    encoded = encode(image, "PNG")
    found = imagenet.preprocess_for_evaluation(tf.constant(encoded), 32)
    # 0.875 * 60 is 52.5, rounded to the even 52: 4 rows, 14 columns off.
    expected = normalized(bilinear(image[4:56, 14:66], 32))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_fused_crop_of_a_jpeg_is_the_crop_of_the_whole():
    encoded = encode(smooth_photo(61, 83))
    whole = tf.io.decode_jpeg(encoded, channels=3).numpy()
    found = imagenet.preprocess_for_evaluation(tf.constant(encoded), 24)
    # 0.875 * 61 is 53.375.
    expected = normalized(bilinear(whole[4:57, 15:68], 24))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_data_set_equals_direct_preprocessing():
    encoded = [encode(smooth_photo(seed=seed)) for seed in range(3)]
    seeds = [[1, 2], [3, 4], [5, 6]]
    dataset = tf.data.Dataset.from_tensor_slices((encoded, seeds)).map(
        lambda file, seed: (
            imagenet.preprocess_for_training(file, 24, seed),
            imagenet.preprocess_for_evaluation(file, 24),
        )
    )
    for file, seed, (training, evaluation) in zip(
        encoded, seeds, dataset, strict=True
    ):
        file, seed = tf.constant(file), tf.constant(seed)
        np.testing.assert_allclose(
            training,
            imagenet.preprocess_for_training(file, 24, seed),
            atol=1e-5,
        )
        np.testing.assert_allclose(
            evaluation,
            imagenet.preprocess_for_evaluation(file, 24),
            atol=1e-5,
        )


def test_serving_preprocesses_as_evaluation():
    encoded = encode(smooth_photo(70, 50))
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    np.testing.assert_allclose(
        imagenet.preprocess_for_serving(image, 32),
        imagenet.preprocess_for_evaluation(tf.constant(encoded), 32),
        atol=1e-5,
    )


def test_random_windows():
    windows = np.array(
        [
            image_decoding.random_window(
                (300, 400, 3), tf.constant([7, number])
            )
            for number in range(300)
        ]
    )
    top, left, height, width = windows.T
    assert (top >= 0).all() and (top + height <= 300).all()
    assert (left >= 0).all() and (left + width <= 400).all()
    area = height * width / (300 * 400)
    assert 0.07 < area.min() < 0.15 and 0.8 < area.max() <= 1.0
    aspect = width / height
    assert 0.73 < aspect.min() < 0.80 and 1.28 < aspect.max() < 1.36
    again = image_decoding.random_window((300, 400, 3), tf.constant([7, 0]))
    np.testing.assert_array_equal(again, windows[0])
    assert len(np.unique(windows, axis=0)) > 290


def test_training_crops_and_mirrors_half_of_the_images():
    """Red grows with the row, green with the column: they reveal the window."""
    rows, columns = np.mgrid[:100, :120]
    image = np.stack([2 * rows, 2 * columns, 0 * rows], -1).astype("uint8")
    encoded = tf.constant(encode(image, "PNG"))
    mirrored, aspects = [], []
    for number in range(60):
        seed = tf.constant([3, number])
        found = imagenet.preprocess_for_training(encoded, 32, seed)
        found = unnormalized(found.numpy()) / 2
        window = image_decoding.random_window((100, 120, 3), seed).numpy()
        top, left, height, width = window
        center = found[16, 16, :2]
        np.testing.assert_allclose(
            center,
            [top + height * 16.5 / 32 - 0.5, left + width * 0.5 - 0.5],
            atol=float(width) / 32 + 0.1,
        )
        assert found[-1, 0, 0] > found[0, 0, 0]
        mirrored.append(found[0, -1, 1] < found[0, 0, 1])
        aspects.append(width / height)
    assert 18 <= sum(mirrored) <= 42
    # Mirroring is independent of the crop.
    assert abs(np.corrcoef(mirrored, aspects)[0, 1]) < 0.4


BAD_FILES = ("junk", "truncated")


@pytest.fixture
def mixed_files():
    photo = smooth_photo()
    rgb = encode(photo)
    return {
        "rgb": rgb,
        "gray": encode(photo, mode="L"),
        "cmyk": encode(photo, mode="CMYK"),
        "png": encode(photo, "PNG"),
        "gif": encode(photo, "GIF"),
        "zeros_behind": rgb + bytes(7),
        "truncated": rgb[: len(rgb) // 2],
        "junk": b"not an image",
    }


@pytest.mark.parametrize("name", ["rgb", "gray", "cmyk", "png", "zeros_behind"])
def test_colors(mixed_files, name):
    """As decoded by Pillow: two decoders differ by a few of 256 values."""
    content = mixed_files[name]
    right = Image.open(io.BytesIO(content)).convert("RGB")
    expected = bilinear(np.array(right)[4:56, 14:66], 32)
    found = imagenet.preprocess_for_evaluation(tf.constant(content), 32)
    difference = np.abs(unnormalized(found.numpy()) - expected)
    assert difference.max() < 8
    assert difference.mean() < 1.5


COLOR = (200, 30, 30)
ONE_COLOR = Image.new("RGB", (70, 60), COLOR)
GRAY = round(0.299 * 200 + 0.587 * 30 + 0.114 * 30)


def encode_as(kind, image=ONE_COLOR):
    """File of an image, such as "bmp P": the format and the mode."""
    file_format, _, mode = kind.partition(" ")
    if mode == "P":
        image = image.quantize(4)
    elif mode == "16":
        image = Image.fromarray(np.full((60, 70), 257 * GRAY, "uint16"))
    elif mode == "animated":
        pass
    elif mode:
        image = image.convert(mode)
    options = {}
    if mode == "animated":
        other = Image.new("RGB", image.size, (0, 200, 30))
        options = {"save_all": True, "append_images": [other]}
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


DECODED = {
    **dict.fromkeys(("jpeg", "jpeg CMYK", "png", "png P", "png RGBA"), COLOR),
    **dict.fromkeys(("gif", "gif animated", "bmp", "bmp RGBA"), COLOR),
    **dict.fromkeys(("webp", "webp RGBA"), COLOR),
    **dict.fromkeys(("jpeg L", "png L", "png LA", "png 16"), 3 * (GRAY,)),
}
UNDECODABLE = ("bmp P", "bmp L", "bmp 1", "webp animated", "tiff", "ppm")


@pytest.mark.parametrize("kind", DECODED)
def test_color_of_each_format(kind):
    content = tf.constant(encode_as(kind))
    found = imagenet.preprocess_for_evaluation(content, 32)
    np.testing.assert_allclose(
        unnormalized(found.numpy()), np.full((32, 32, 3), DECODED[kind]), atol=3
    )


@pytest.mark.parametrize("kind", UNDECODABLE)
def test_formats_that_are_left_out_are_counted(tmp_path, kind):
    """TensorFlow shows a palette's numbers as colors, without an error."""
    contents = {f"{label}/0.png": encode_as("png") for label in "ab"}
    contents["a/1.bmp"] = encode_as(kind)
    source = image_sources.FolderSource(write_folder(tmp_path, contents))
    assert imagenet.count_undecodable(source, "train") == 1


# The position of the damaged files must not matter: first, last, between.
@pytest.mark.parametrize(
    "order",
    [
        "junk rgb gray truncated cmyk png gif zeros_behind",
        "rgb gray cmyk png gif zeros_behind junk truncated",
        "truncated junk rgb gray cmyk png gif zeros_behind",
    ],
)
def test_damaged_images_are_skipped_and_counted(tmp_path, mixed_files, order):
    names = order.split()
    contents = {
        f"{subset}/{label}/{index}.jpg": mixed_files[name]
        for subset in ("train", "val")
        for label in ("a", "b")
        for index, name in enumerate(names)
    }
    source = image_sources.FolderSource(write_folder(tmp_path, contents))
    skipped = image_decoding.new_count()
    batches = list(imagenet.evaluation_dataset(source, 24, 5, skipped=skipped))
    assert skipped.numpy() == 4
    assert imagenet.count_undecodable(source, "validation") == 4
    assert [images.shape for images, _, _ in batches] == 4 * [(5, 24, 24, 3)]
    weights = np.concatenate([weights for _, _, weights in batches])
    labels = np.concatenate([labels for _, labels, _ in batches])
    np.testing.assert_array_equal(weights, 12 * [1] + 8 * [0])
    np.testing.assert_array_equal(labels[:12].argmax(-1), 6 * [0] + 6 * [1])

    skipped = image_decoding.new_count()
    run = iter(imagenet.train_dataset(source, 24, 6, skipped=skipped))
    for _ in range(20):
        images, _ = next(run)
        assert np.isfinite(images).all() and np.ptp(images) > 0.5
    # Some batches are read ahead.
    assert 36 <= skipped.numpy() <= 200


def test_missing_files(tmp_path, mixed_files, monkeypatch):
    monkeypatch.setattr(image_decoding, "_TOO_MANY_IN_A_ROW", 6)
    folder = write_folder(
        tmp_path,
        {
            f"{subset}/{label}/{index}.jpg": mixed_files["rgb"]
            for subset in ("train", "val")
            for label in ("a", "b")
            for index in range(8)
        },
    )
    source = image_sources.FolderSource(folder)
    for index in range(5):
        (folder / f"val/a/{index}.jpg").unlink()
    assert imagenet.count_undecodable(source, "validation") == 5
    (folder / "val/a/5.jpg").unlink()
    with pytest.raises(tf.errors.InvalidArgumentError, match="still there"):
        imagenet.count_undecodable(source, "validation")


def test_a_broken_link_is_counted(tmp_path, mixed_files):
    folder = write_folder(
        tmp_path, {f"{name}/0.jpg": mixed_files["rgb"] for name in "ab"}
    )
    (folder / "a/broken_link.jpg").symlink_to(folder / "nowhere")
    (folder / "a/link_to_a_folder.jpg").symlink_to(folder)
    (folder / "a/folder.jpg").mkdir()
    source = image_sources.FolderSource(folder)
    assert source.count("train") == 4
    assert imagenet.count_undecodable(source, "train") == 1


@pytest.mark.parametrize("count", [1, 700])
def test_data_set_without_a_decodable_image_raises(tmp_path, count):
    names = [f"{label}/{n}.jpg" for label in "ab" for n in range(count)]
    contents = {
        f"{s}/{name}": b"junk" for s in ("train", "val") for name in names
    }
    source = image_sources.FolderSource(write_folder(tmp_path, contents))
    for build in (imagenet.train_dataset, imagenet.evaluation_dataset):
        skipped = image_decoding.new_count()
        with pytest.raises(tf.errors.InvalidArgumentError, match="in a row"):
            next(iter(build(source, 24, 4, skipped=skipped)))


def test_folder_that_disappears_stops_the_training(numbered_folder):
    source = image_sources.FolderSource(numbered_folder)
    run = iter(imagenet.train_dataset(source, 16, 23))
    next(run)
    numbered_folder.rename(numbered_folder.with_name("unmounted"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="still there"):
        for _ in range(10_000):
            next(run)


def test_each_image_once_per_epoch(numbered_folder):
    source = image_sources.FolderSource(numbered_folder)
    assert (source.count("train"), source.count("validation")) == (23, 7)
    run = iter(imagenet.train_dataset(source, 16, batch_size=1))
    epochs = [
        [numbers_of(next(run)[0])[0] for _ in range(23)] for _ in range(3)
    ]
    for order in epochs:
        assert sorted(order) == list(range(23))
    assert epochs[0] != epochs[1] != epochs[2]

    images, labels, weights = zip(
        *imagenet.evaluation_dataset(source, 16, 3), strict=True
    )
    kept = np.concatenate(weights) == 1
    numbers = np.array([n for batch in images for n in numbers_of(batch)])[kept]
    assert sorted(numbers) == list(range(7))
    np.testing.assert_array_equal(
        np.concatenate(labels)[kept].argmax(-1), numbers % 3
    )


def test_seeds(numbered_folder):
    """No two seeds share the order of an epoch."""
    source = image_sources.FolderSource(numbered_folder)
    orders = [
        tuple(numbers_of(images))
        for seed in (0, 1, 2)
        for images, _ in imagenet.train_dataset(source, 16, 23, seed).take(3)
    ]
    assert len(set(orders)) == 9
    again = imagenet.train_dataset(source, 16, 23, seed=0).take(3)
    assert [tuple(numbers_of(images)) for images, _ in again] == orders[:3]


@pytest.mark.parametrize("batches", [2, 5, 12])
def test_start_continues_where_a_run_was_killed(numbered_folder, batches):
    source = image_sources.FolderSource(numbered_folder)
    whole = imagenet.train_dataset(source, 16, 5).skip(batches)
    resumed = imagenet.train_dataset(source, 16, 5, start=5 * batches)
    for expected, found in zip(whole.take(3), resumed.take(3), strict=True):
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, other)


def test_shards_share_the_batches_of_one_process(tmp_path):
    """The same images and crops in one process or two."""
    contents = {
        f"{subset}/class{n % 2}/{n:02d}.png": encode(
            smooth_photo(seed=n), "PNG"
        )
        for n in range(13)
        for subset in ("train", "val")
    }
    source = image_sources.FolderSource(write_folder(tmp_path, contents))

    def batches(build, batch_size, shards, shard):
        dataset = build(
            source,
            image_size=16,
            batch_size=batch_size,
            shards=shards,
            shard=shard,
        )
        return list(dataset.take(5))

    def rows(*arrays):
        flat = [np.reshape(x, (len(x), -1)) for x in arrays]
        table = np.concatenate(flat, axis=1)
        return table[np.lexsort(table.T)]

    for build in (imagenet.train_dataset, imagenet.evaluation_dataset):
        alone = batches(build, 4, 1, 0)
        shared = [batches(build, 2, 2, shard) for shard in (0, 1)]
        assert len(alone) == len(shared[0]) == len(shared[1])
        for whole, first, second in zip(alone, *shared, strict=True):
            both = [np.concatenate(p) for p in zip(first, second, strict=True)]
            np.testing.assert_allclose(rows(*whole), rows(*both), atol=1e-5)


def test_stand_in(tmp_path):
    counts = {"train": 3, "val": 2}
    folder = stand_in.write_stand_in(tmp_path / "stand_in", counts)
    source = image_sources.open_source(data_dir=str(folder))
    assert source.labels == sorted(stand_in.SHAPES)
    assert (source.count("train"), source.count("validation")) == (30, 20)
    again = stand_in.write_stand_in(tmp_path / "again", counts)
    for path in folder.rglob("*.jpg"):
        other = again / path.relative_to(folder)
        assert path.read_bytes() == other.read_bytes()
    assert not list(tmp_path.glob(".keras_coordconv-*"))


def test_two_processes_write_the_stand_in_at_once(tmp_path, monkeypatch):
    counts = {"train": 1, "val": 1}
    folder = tmp_path / "stand_in"
    draw = stand_in.draw

    def draw_while_another_process_does(name, random):
        monkeypatch.setattr(stand_in, "draw", draw)
        stand_in.write_stand_in(folder, counts)
        return draw(name, random)

    monkeypatch.setattr(stand_in, "draw", draw_while_another_process_does)
    assert stand_in.write_stand_in(folder, counts) == folder
    assert [path.name for path in tmp_path.iterdir()] == ["stand_in"]
    assert len(list(folder.rglob("*.jpg"))) == 20
