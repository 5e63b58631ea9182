"""ImageNet's pipeline: against NumPy, on files made here, good and bad."""

import io
import pathlib
import tarfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_coordconv.datasets import imagenet
from keras_coordconv.datasets import stand_in

pytestmark = pytest.mark.tensorflow_backend


def smooth_photo(height=60, width=80, seed=0):
    """uint8 image without sharp edges, which JPEG keeps nearly as it is."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (4, 5, 3))
    image = Image.fromarray(coarse.astype("uint8"))
    return np.array(image.resize((width, height), Image.Resampling.BICUBIC))


def encode(image, file_format="JPEG", mode="RGB"):
    file = io.BytesIO()
    options = {"quality": 95, "subsampling": 0} if file_format == "JPEG" else {}
    Image.fromarray(image).convert(mode).save(file, file_format, **options)
    return file.getvalue()


def bilinear(image, size):
    """Bilinear resizing with pixel centres at half integers, written out."""
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


def unnormalized(image):
    return image * np.array([58.395, 57.12, 57.375]) + [123.675, 116.28, 103.53]


def write_folder(folder, contents):
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture
def numbered_folder(tmp_path):
    """23 training and 7 validation images; image n has the grey value 10 n."""
    contents = {}
    for subset, count in (("train", 23), ("val", 7)):
        for number in range(count):
            flat = np.full((40, 50, 3), 10 * number, "uint8")
            name = f"{subset}/class{number % 3}/{number:03d}.jpg"
            contents[name] = encode(flat)
    return write_folder(tmp_path / "numbered", contents)


def numbers_of(images):
    """Which of the numbered images a batch has."""
    means = unnormalized(images.numpy()).mean(axis=(1, 2, 3))
    return np.round(means / 10).astype(int).tolist()


def test_evaluation_is_the_central_crop():
    image = smooth_photo(60, 80)
    encoded = encode(image, "PNG")
    kind, found = imagenet.preprocess_for_evaluation(tf.constant(encoded), 32)
    # 0.875 of 60 is 52.5, rounded to the even 52: 4 rows, 14 columns off.
    expected = normalized(bilinear(image[4:56, 14:66], 32))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert imagenet.ImageCounts.KINDS[int(kind)] == "other_format"


def test_fused_crop_of_a_jpeg_is_the_crop_of_the_whole():
    encoded = encode(smooth_photo(61, 83))
    whole = tf.io.decode_jpeg(encoded, channels=3).numpy()
    kind, found = imagenet.preprocess_for_evaluation(tf.constant(encoded), 24)
    # 0.875 of 61 is 53.375.
    expected = normalized(bilinear(whole[4:57, 15:68], 24))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert imagenet.ImageCounts.KINDS[int(kind)] == "rgb"


def test_in_a_data_set_as_directly():
    encoded = [encode(smooth_photo(seed=seed)) for seed in range(3)]
    seeds = [[1, 2], [3, 4], [5, 6]]
    dataset = tf.data.Dataset.from_tensor_slices((encoded, seeds)).map(
        lambda file, seed: (
            imagenet.preprocess_for_training(file, 24, seed)[1],
            imagenet.preprocess_for_evaluation(file, 24)[1],
        )
    )
    for file, seed, (training, evaluation) in zip(
        encoded, seeds, dataset, strict=True
    ):
        file, seed = tf.constant(file), tf.constant(seed)
        np.testing.assert_allclose(
            training,
            imagenet.preprocess_for_training(file, 24, seed)[1],
            atol=1e-5,
        )
        np.testing.assert_allclose(
            evaluation,
            imagenet.preprocess_for_evaluation(file, 24)[1],
            atol=1e-5,
        )


def test_serving_as_evaluation():
    encoded = encode(smooth_photo(70, 50))
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    np.testing.assert_allclose(
        imagenet.preprocess_for_serving(image, 32),
        imagenet.preprocess_for_evaluation(tf.constant(encoded), 32)[1],
        atol=1e-5,
    )


def test_random_windows():
    windows = np.array(
        [
            imagenet.random_window((300, 400, 3), tf.constant([7, number]))
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
    again = imagenet.random_window((300, 400, 3), tf.constant([7, 0]))
    np.testing.assert_array_equal(again, windows[0])
    assert len(np.unique(windows, axis=0)) > 290


def test_training_is_a_window_mirrored_half_of_the_time():
    """Red grows with the row, green with the column: see what was cut out."""
    rows, columns = np.mgrid[:100, :120]
    image = np.stack([2 * rows, 2 * columns, 0 * rows], -1).astype("uint8")
    encoded = tf.constant(encode(image, "PNG"))
    mirrored, aspects = [], []
    for number in range(60):
        seed = tf.constant([3, number])
        _, found = imagenet.preprocess_for_training(encoded, 32, seed)
        found = unnormalized(found.numpy()) / 2
        window = imagenet.random_window((100, 120, 3), seed).numpy()
        top, left, height, width = window
        middle = found[16, 16, :2]
        np.testing.assert_allclose(
            middle,
            [top + height * 16.5 / 32 - 0.5, left + width * 0.5 - 0.5],
            atol=float(width) / 32 + 0.1,
        )
        assert found[-1, 0, 0] > found[0, 0, 0]
        mirrored.append(found[0, -1, 1] < found[0, 0, 1])
        aspects.append(width / height)
    assert 18 <= sum(mirrored) <= 42
    # Which are mirrored has nothing to do with the crop.
    assert abs(np.corrcoef(mirrored, aspects)[0, 1]) < 0.4


BAD_FILES = ("junk", "truncated")


@pytest.fixture
def mixed_files():
    photo = smooth_photo()
    rgb = encode(photo)
    return {
        "rgb": rgb,
        "grey": encode(photo, mode="L"),
        "cmyk": encode(photo, mode="CMYK"),
        "png": encode(photo, "PNG"),
        "gif": encode(photo, "GIF"),
        "zeros_behind": rgb + bytes(7),
        "truncated": rgb[: len(rgb) // 2],
        "junk": b"not an image",
    }


@pytest.mark.parametrize("name", ["rgb", "grey", "cmyk", "png", "zeros_behind"])
def test_colours(mixed_files, name):
    """As Pillow sees them: two decoders differ by a few of 256 values."""
    content = mixed_files[name]
    right = Image.open(io.BytesIO(content)).convert("RGB")
    expected = bilinear(np.array(right)[4:56, 14:66], 32)
    _, found = imagenet.preprocess_for_evaluation(tf.constant(content), 32)
    difference = np.abs(unnormalized(found.numpy()) - expected)
    assert difference.max() < 8
    assert difference.mean() < 1.5


# Where the bad files stand must not matter: first, last, in between, together.
@pytest.mark.parametrize(
    "order",
    [
        "junk rgb grey truncated cmyk png gif zeros_behind",
        "rgb grey cmyk png gif zeros_behind junk truncated",
        "truncated junk rgb grey cmyk png gif zeros_behind",
    ],
)
def test_bad_images_are_left_out_and_counted(tmp_path, mixed_files, order):
    names = order.split()
    contents = {
        f"{subset}/{label}/{index}.jpg": mixed_files[name]
        for subset in ("train", "val")
        for label in ("a", "b")
        for index, name in enumerate(names)
    }
    source = imagenet.FolderSource(write_folder(tmp_path, contents))
    counts = imagenet.ImageCounts()
    batches = list(imagenet.evaluation_dataset(source, 24, 5, counts=counts))
    assert counts.numbers() == {
        "rgb": 4,
        "grey": 2,
        "cmyk": 2,
        "other_format": 4,
        "undecodable": 4,
    }
    counted = imagenet.count_images(source, "validation")
    assert counted == counts.numbers()
    assert [images.shape for images, _, _ in batches] == 4 * [(5, 24, 24, 3)]
    weights = np.concatenate([weights for _, _, weights in batches])
    labels = np.concatenate([labels for _, labels, _ in batches])
    np.testing.assert_array_equal(weights, 12 * [1] + 8 * [0])
    np.testing.assert_array_equal(labels[:12].argmax(-1), 6 * [0] + 6 * [1])

    counts = imagenet.ImageCounts()
    run = iter(imagenet.train_dataset(source, 24, 6, counts=counts))
    for _ in range(20):
        images, _ = next(run)
        assert np.isfinite(images).all() and np.ptp(images) > 0.5
    numbers = counts.numbers()
    met = sum(numbers.values())
    assert met >= 120
    assert numbers["undecodable"] / met == pytest.approx(1 / 4, abs=0.05)

    found = [
        names[int(pathlib.Path(path).stem)]
        for path in imagenet.undecodable_files(source, "train")
    ]
    assert sorted(found) == 2 * ["junk"] + 2 * ["truncated"]


def test_files_that_are_gone(tmp_path, mixed_files, monkeypatch):
    monkeypatch.setattr(imagenet, "_TOO_MANY_UNDECODABLE", 6)
    folder = write_folder(
        tmp_path,
        {
            f"{subset}/{label}/{index}.jpg": mixed_files["rgb"]
            for subset in ("train", "val")
            for label in ("a", "b")
            for index in range(8)
        },
    )
    source = imagenet.FolderSource(folder)
    for index in range(5):
        (folder / f"val/a/{index}.jpg").unlink()
    assert imagenet.count_images(source, "validation")["undecodable"] == 5
    (folder / "val/a/5.jpg").unlink()
    with pytest.raises(tf.errors.InvalidArgumentError, match="still there"):
        imagenet.count_images(source, "validation")


def test_each_image_once_in_a_pass(numbered_folder):
    source = imagenet.FolderSource(numbered_folder)
    assert (source.count("train"), source.count("validation")) == (23, 7)
    run = iter(imagenet.train_dataset(source, 16, batch_size=1))
    passes = [
        [numbers_of(next(run)[0])[0] for _ in range(23)] for _ in range(3)
    ]
    for order in passes:
        assert sorted(order) == list(range(23))
    assert passes[0] != passes[1] != passes[2]

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
    """No pass of one seed is a pass of another."""
    source = imagenet.FolderSource(numbered_folder)
    orders = [
        tuple(numbers_of(images))
        for seed in (0, 1, 2)
        for images, _ in imagenet.train_dataset(source, 16, 23, seed).take(3)
    ]
    assert len(set(orders)) == 9
    again = imagenet.train_dataset(source, 16, 23, seed=0).take(3)
    assert [tuple(numbers_of(images)) for images, _ in again] == orders[:3]


@pytest.mark.parametrize("batches", [2, 5, 12])
def test_start_goes_on_where_a_run_was_killed(numbered_folder, batches):
    source = imagenet.FolderSource(numbered_folder)
    whole = imagenet.train_dataset(source, 16, 5).skip(batches)
    resumed = imagenet.train_dataset(source, 16, 5, start=5 * batches)
    for expected, found in zip(whole.take(3), resumed.take(3), strict=True):
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, other)


def test_shards_have_the_batches_of_one(tmp_path):
    """The same images and the same crops, whoever reads them."""
    contents = {
        f"{subset}/class{n % 2}/{n:02d}.png": encode(
            smooth_photo(seed=n), "PNG"
        )
        for n in range(13)
        for subset in ("train", "val")
    }
    source = imagenet.FolderSource(write_folder(tmp_path, contents))

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


def test_limit_takes_from_all_classes(numbered_folder):
    source = imagenet.FolderSource(numbered_folder, limit_examples=6)
    assert (source.count("train"), source.count("validation")) == (6, 6)
    run = iter(imagenet.train_dataset(source, 16, 6))
    _, labels = next(run)
    assert set(labels.numpy().argmax(-1)) == {0, 1, 2}


def test_one_level_of_folders(tmp_path):
    """One image in ten is for validation, and is not trained on."""
    contents = {
        f"class{number % 2}/{number:03d}.jpg": encode(smooth_photo())
        for number in range(40)
    }
    source = imagenet.FolderSource(write_folder(tmp_path, contents))
    assert (source.count("train"), source.count("validation")) == (36, 4)
    parts = [set(source.files(subset)) for subset in imagenet.SUBSETS]
    assert not parts[0] & parts[1]
    assert len({path.split("/")[-2] for path in parts[1]}) == 2


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({}, "a folder of images for each class"),
        ({"train/a/0.jpg": b""}, "a folder of images for each class"),
        (
            {"train/a/0.jpg": b"", "train/b/0.jpg": b""},
            "a folder val, validation or test",
        ),
        (
            {
                "train/a/0.jpg": b"",
                "train/b/0.jpg": b"",
                "val/a/0.jpg": b"",
                "val/c/0.jpg": b"",
            },
            "different: ['b', 'c']",
        ),
    ],
)
def test_folders_that_are_none(tmp_path, contents, message):
    import re

    write_folder(tmp_path, contents)
    with pytest.raises(ValueError, match=re.escape(message)):
        imagenet.open_source(data_dir=str(tmp_path))


def test_no_folder(tmp_path):
    with pytest.raises(ValueError, match="must exist"):
        imagenet.open_source(data_dir=str(tmp_path / "nowhere"))


def add_to_tar(tar, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def test_from_imagenet_s_tar_files(tmp_path):
    """As they are downloaded: a tar of tars of a class each, and one tar."""
    manual = tmp_path / "downloads/manual"
    manual.mkdir(parents=True)
    with pytest.raises(ValueError, match="its raw files must be in"):
        imagenet.open_source(data_dir=str(tmp_path))
    with tarfile.open(manual / "ILSVRC2012_img_train.tar", "w") as train:
        for label in ("n01440764", "n01443537"):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as images:
                for number in range(3):
                    flat = np.full((40, 50, 3), 10 * number, "uint8")
                    add_to_tar(images, f"{label}_{number}.JPEG", encode(flat))
            add_to_tar(train, f"{label}.tar", inner.getvalue())
    with tarfile.open(manual / "ILSVRC2012_img_val.tar", "w") as validation:
        for number in range(1, 5):
            name = f"ILSVRC2012_val_{number:08d}.JPEG"
            add_to_tar(validation, name, encode(smooth_photo(seed=number)))

    with pytest.raises(ValueError, match="before several processes"):
        imagenet.open_source(data_dir=str(tmp_path), prepare=False)
    source = imagenet.open_source(data_dir=str(tmp_path))
    assert isinstance(source, imagenet.TfdsSource)
    assert len(source.labels) == 1000
    assert (source.count("train"), source.count("validation")) == (6, 4)
    images, labels = next(iter(imagenet.train_dataset(source, 16, 6)))
    assert sorted(numbers_of(images)) == [0, 0, 1, 1, 2, 2]
    names = {source.labels[index] for index in labels.numpy().argmax(-1)}
    assert names == {"n01440764", "n01443537"}
    ((_, labels, weights),) = imagenet.evaluation_dataset(source, 16, 8)
    assert weights.numpy().sum() == 4
    # The first lines of the list of validation classes: n01751748, n09193705,
    # n02105855, n04263257.
    found = {source.labels[i] for i in labels.numpy()[:4].argmax(-1)}
    assert found == {"n01751748", "n09193705", "n02105855", "n04263257"}


def test_another_data_set_of_tfds():
    """MNIST: grey PNGs, a split named test, no imagenet."""
    data_dir = pathlib.Path(__file__).parents[3] / "shared/tfds"
    if not data_dir.exists():
        pytest.skip("needs MNIST in ../shared/tfds")
    source = imagenet.open_source("mnist", str(data_dir), limit_examples=50)
    assert source.labels == list("0123456789")
    counts = imagenet.ImageCounts()
    batches = list(imagenet.evaluation_dataset(source, 28, 20, counts=counts))
    assert len(batches) == 3
    assert counts.numbers()["other_format"] == 50
    images, labels = next(iter(imagenet.train_dataset(source, 28, 50)))
    assert images.shape == (50, 28, 28, 3)
    assert len(set(labels.numpy().argmax(-1))) > 5


def test_unknown_data_set(tmp_path):
    (tmp_path / "downloads/manual").mkdir(parents=True)
    with pytest.raises(ValueError, match="must know the data set"):
        imagenet.open_source("no_such_data_set", str(tmp_path))


def test_stand_in(tmp_path):
    counts = {"train": 3, "val": 2}
    folder = stand_in.write_stand_in(tmp_path / "stand_in", counts)
    source = imagenet.open_source(data_dir=str(folder))
    assert source.labels == sorted(stand_in.SHAPES)
    assert (source.count("train"), source.count("validation")) == (30, 20)
    again = stand_in.write_stand_in(tmp_path / "again", counts)
    for path in folder.rglob("*.jpg"):
        other = again / path.relative_to(folder)
        assert path.read_bytes() == other.read_bytes()
    assert not list(tmp_path.glob("partial-*"))


def test_stand_in_of_two_processes_at_once(tmp_path, monkeypatch):
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
