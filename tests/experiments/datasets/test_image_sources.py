"""Class folders and data sets of TensorFlow Datasets, in all their forms."""

import contextlib
import io
import os
import pathlib
import re
import tarfile
import tempfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from image_files import encode
from image_files import numbers_of
from image_files import smooth_photo
from image_files import write_folder
from image_files import write_numbered_folder

from keras_coordconv.experiments.datasets import image_sources
from keras_coordconv.experiments.datasets import imagenet
from keras_coordconv.experiments.datasets import scattered_mnist

pytestmark = pytest.mark.tensorflow_backend


class NumberedImages(tfds.core.GeneratorBasedBuilder):
    """43 images of one gray value each, which is also their class."""

    VERSION = tfds.core.Version("1.0.0")
    COUNT = 43

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(num_classes=self.COUNT),
                }
            )
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        return {name: self._generate_examples() for name in ("train", "test")}

    def _generate_examples(self):
        for number in range(self.COUNT):
            image = np.full((8, 8, 3), 5 * number, "uint8")
            yield number, {"image": image, "label": number}


@pytest.fixture(scope="module")
def tfds_source(tmp_path_factory):
    """A data set of four files."""
    folder = str(tmp_path_factory.mktemp("tfds"))
    tfds.builder("numbered_images", data_dir=folder).download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=4)
    )
    source = image_sources.open_source("numbered_images", folder)
    assert isinstance(source, image_sources.TfdsSource)
    assert len(source.builder.info.splits["train"].filenames) == 4
    return source


@pytest.fixture
def folder_source(tmp_path):
    return image_sources.FolderSource(write_numbered_folder(tmp_path))


@pytest.fixture(params=["folder_source", "tfds_source"])
def source(request):
    return request.getfixturevalue(request.param)


def items(source, count, seed=0, **arguments):
    """The first items of the training order."""
    examples = source.examples("train", seed, **arguments).take(count)
    return [item for item, _ in examples.as_numpy_iterator()]


def test_each_epoch_has_each_example_once_in_a_new_order(source):
    count = source.count("train")
    found = items(source, 3 * count)
    epochs = [tuple(found[n * count : (n + 1) * count]) for n in range(3)]
    assert len({frozenset(one) for one in epochs}) == 1
    assert len(set(epochs[0])) == count
    another = tuple(items(source, count, seed=1))
    assert len({*epochs, another}) == 4


def test_order_depends_on_seed_and_epoch_only(source):
    count = source.count("train")
    found = items(source, 3 * count)
    tf.random.set_seed(7)
    for start in (0, 5, count, 2 * count + 1):
        assert (
            items(source, count - 5, start=start)
            == (found[start : start + count - 5])
        )


def test_each_process_has_its_own_part(source):
    count = source.count("train") // 3
    parts = [items(source, count, shards=3, shard=n) for n in range(3)]
    assert len({item for part in parts for item in part}) == 3 * count
    for shard, part in enumerate(parts):
        assert (
            items(source, count - 2, shards=3, shard=shard, start=6)
            == (part[2:])
        )


def test_records_of_all_files_are_mixed(tfds_source):
    """Files are interleaved: the first ten come from at least three files."""
    sizes = tfds_source.builder.info.splits["train"].shard_lengths
    kept = [item for item, _ in tfds_source.examples("train")]
    file_of = np.repeat(np.arange(4), sizes)
    where = {
        item.numpy(): file for item, file in zip(kept, file_of, strict=True)
    }
    assert len({where[item] for item in items(tfds_source, 10)}) >= 3


def test_labels_stay_with_their_images(tfds_source):
    for seed in (None, 0):
        for item, label in tfds_source.examples("train", seed).take(43):
            assert int(tf.io.decode_image(item)[0, 0, 0]) == 5 * int(label)


def test_limit_of_tfds(tfds_source, monkeypatch):
    monkeypatch.setattr(tfds_source, "_limit", 10)
    assert tfds_source.count("train") == 10
    assert len(set(items(tfds_source, 20))) == 10


PHOTO = encode(smooth_photo())
TWO_CLASSES = {"a/0.jpg": PHOTO, "b/0.jpg": PHOTO}


# Additional files in the folder, and how many of them are images.
@pytest.mark.parametrize(
    ("names", "more"),
    [
        (["a/1.JPG", "a/2.Jpg", "a/3.jPeG", "b/4.PnG"], 4),
        (["a/1.gif", "a/2.GIF", "b/3.bmp", "b/4.Bmp"], 4),
        (["a/below/1.jpg", "a/below/further/2.jpg"], 2),
        (["a/1.jpg/2.jpg"], 1),
        ([".ipynb_checkpoints/1.jpg", ".git/2.jpg"], 0),
        (["a/.ipynb_checkpoints/1.jpg", "a/.hidden.jpg"], 0),
        (["a/._0.jpg", "._a/0.jpg", "a/.DS_Store", ".DS_Store"], 0),
        (["a/Thumbs.db", "a/notes.txt", "a/jpg", "readme.jpg"], 0),
        (["a/1.webp", "a/2.WebP"], 2),
        (["a/1.jpg.part", "a/2.jpg~", "a/3.tiff"], 0),
        (["empty/notes.txt"], 0),
    ],
)
def test_what_is_an_image(tmp_path, names, more):
    contents = TWO_CLASSES | dict.fromkeys(names, PHOTO)
    source = image_sources.FolderSource(write_folder(tmp_path, contents))
    assert source.labels == ["a", "b"]
    assert source.count("train") == 2 + more


PARTS = st.sampled_from(
    [
        "a",
        "b",
        ".a",
        "._a",
        "a.jpg",
        "A.JPEG",
        "x.gif",
        "x.BMP",
        "x.webp",
        "x.png.txt",
        "ä",
    ]
)
TREES = st.lists(
    st.lists(PARTS, min_size=1, max_size=4).map(tuple), max_size=12
)


@given(TREES)
@settings(max_examples=100, deadline=None)
def test_random_trees(paths):
    """Against the rule: a known extension, no name that starts with a dot."""
    with tempfile.TemporaryDirectory() as folder:
        expected = {}
        for path in paths:
            file = pathlib.Path(folder, *path)
            # A path that conflicts with another one is skipped.
            with contextlib.suppress(OSError):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch(exist_ok=False)
                is_image = re.search(
                    r"\.(jpe?g|png|gif|webp|bmp)$", path[-1], re.I
                )
                hidden = any(part.startswith(".") for part in path)
                if is_image and not hidden and len(path) > 1:
                    expected.setdefault(path[0], set()).add(str(file))
        try:
            source = image_sources.FolderSource(folder)
        except ValueError as error:
            assert len(expected) < 2
            assert "at least two class folders" in str(error)
            return
        assert source.labels == sorted(expected)
        found = source.files("train") + source.files("validation")
        assert sorted(found) == sorted(set().union(*expected.values()))


def test_names_that_are_not_utf_8(tmp_path):
    folder = write_folder(tmp_path, TWO_CLASSES)
    path = bytes(folder) + b"/caf\xe9"
    os.mkdir(path)
    for name in (b"/\xe9.jpg", b"/1.jpg"):
        pathlib.Path(os.fsdecode(path + name)).write_bytes(PHOTO)
    source = image_sources.FolderSource(folder)
    assert source.labels == ["a", "b", "caf\N{REPLACEMENT CHARACTER}"]
    assert imagenet.count_undecodable(source, "train") == 0


def test_links_are_followed(tmp_path):
    folder = write_folder(tmp_path / "images", TWO_CLASSES)
    (write_folder(tmp_path / "elsewhere", {"1.jpg": PHOTO}))
    (folder / "a/link").symlink_to(tmp_path / "elsewhere")
    (folder / "a/link.jpg").symlink_to(tmp_path / "elsewhere/1.jpg")
    (folder / "a/to_itself").symlink_to(folder / "a")
    (folder / "c").symlink_to(tmp_path / "elsewhere")
    source = image_sources.FolderSource(folder)
    assert source.labels == ["a", "b", "c"]
    assert source.count("train") == 5


def test_class_folder_that_cannot_be_read(tmp_path, monkeypatch):
    """It raises: ignoring the folder would silently drop its class."""
    folder = write_folder(tmp_path, TWO_CLASSES | {"c/0.jpg": PHOTO})
    scan = os.scandir

    def deny(path):
        if os.fsdecode(path).endswith("/c"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    # Root ignores permissions.
    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(
        ValueError, match=r"Cannot read the class folder .*/c: Perm"
    ):
        image_sources.FolderSource(folder)


def test_limit_takes_images_from_all_classes(tmp_path):
    folder = write_numbered_folder(tmp_path)
    source = image_sources.FolderSource(folder, limit_examples=6)
    assert (source.count("train"), source.count("validation")) == (6, 6)
    run = iter(imagenet.train_dataset(source, 16, 6))
    _, labels = next(run)
    assert set(labels.numpy().argmax(-1)) == {0, 1, 2}


def test_one_level_of_folders(tmp_path):
    """Every tenth image is used for validation, and not for training."""
    contents = {
        f"class{number % 2}/{number:03d}.jpg": encode(smooth_photo())
        for number in range(40)
    }
    source = image_sources.FolderSource(write_folder(tmp_path, contents))
    assert (source.count("train"), source.count("validation")) == (36, 4)
    parts = [set(source.files(subset)) for subset in image_sources.SUBSETS]
    assert not parts[0] & parts[1]
    assert len({path.split("/")[-2] for path in parts[1]}) == 2


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({}, "at least two class folders"),
        ({"train/a/0.jpg": b""}, "at least two class folders"),
        (
            {"train/a/0.jpg": b"", "train/b/0.jpg": b""},
            "add a folder val, validation or test",
        ),
        (
            {
                "train/a/0.jpg": b"",
                "train/b/0.jpg": b"",
                "val/a/0.jpg": b"",
                "val/c/0.jpg": b"",
            },
            "only in one of them: ['b', 'c']",
        ),
    ],
)
def test_invalid_folders(tmp_path, contents, message):
    write_folder(tmp_path, contents)
    with pytest.raises(ValueError, match=re.escape(message)):
        image_sources.open_source(data_dir=str(tmp_path))


def test_no_folder(tmp_path):
    with pytest.raises(ValueError, match="Data folder not found"):
        image_sources.open_source(data_dir=str(tmp_path / "nowhere"))


def add_to_tar(tar, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def test_tar_files_of_imagenet(tmp_path):
    """As downloaded: one tar of a tar per class, and one of all test images."""
    manual = tmp_path / "downloads/manual"
    manual.mkdir(parents=True)
    with pytest.raises(ValueError, match="its raw files into"):
        image_sources.open_source(data_dir=str(tmp_path))
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

    with pytest.raises(ValueError, match="by a single process"):
        image_sources.open_source(data_dir=str(tmp_path), prepare=False)
    source = image_sources.open_source(data_dir=str(tmp_path))
    assert isinstance(source, image_sources.TfdsSource)
    assert len(source.labels) == 1000
    assert (source.count("train"), source.count("validation")) == (6, 4)
    images, labels = next(iter(imagenet.train_dataset(source, 16, 6)))
    assert sorted(numbers_of(images)) == [0, 0, 1, 1, 2, 2]
    names = {source.labels[index] for index in labels.numpy().argmax(-1)}
    assert names == {"n01440764", "n01443537"}
    ((_, labels, weights),) = imagenet.evaluation_dataset(source, 16, 8)
    assert weights.numpy().sum() == 4
    # The list of validation classes begins n01751748, n09193705, n02105855,
    # n04263257.
    found = {source.labels[i] for i in labels.numpy()[:4].argmax(-1)}
    assert found == {"n01751748", "n09193705", "n02105855", "n04263257"}


def test_another_data_set_of_tfds():
    """MNIST: grayscale PNGs, and a split named test."""
    data_dir = pathlib.Path(__file__).parents[4] / "shared/tfds"
    if not data_dir.exists():
        pytest.skip("needs MNIST in ../shared/tfds")
    source = image_sources.open_source(
        "mnist", str(data_dir), limit_examples=50
    )
    assert source.labels == list("0123456789")
    assert len(list(imagenet.evaluation_dataset(source, 28, 20))) == 3
    assert imagenet.count_undecodable(source, "validation") == 0
    images, labels = next(iter(imagenet.train_dataset(source, 28, 50)))
    assert images.shape == (50, 28, 28, 3)
    assert len(set(labels.numpy().argmax(-1))) > 5


class Numbers(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(28, 28, 1)),
            "label": tfds.features.ClassLabel(names=["even", "odd"]),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, download_manager):
        return {split: self._generate_examples() for split in ("train", "test")}

    def _generate_examples(self):
        for number in range(6):
            image = np.full((28, 28, 1), 10 * number, "uint8")
            yield number, {"image": image, "label": number % 2}


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_file_formats_of_tfds(tmp_path, file_format, monkeypatch):
    if file_format == "array_record":
        pytest.importorskip("array_record")
    builder = Numbers(data_dir=str(tmp_path), file_format=file_format)
    builder.download_and_prepare()
    if file_format == "tfrecord":
        source = image_sources.open_source("numbers", str(tmp_path))
        images, _ = next(iter(imagenet.train_dataset(source, 16, 6)))
        assert sorted(numbers_of(images)) == list(range(6))
        return
    message = r"stored as tfrecord\. Received: array_record in .*/numbers/1"
    with pytest.raises(ValueError, match=message):
        image_sources.open_source("numbers", str(tmp_path))
    monkeypatch.setattr(tfds, "builder", lambda *names, **folders: builder)
    with pytest.raises(ValueError, match=message):
        scattered_mnist.load_digits("train", str(tmp_path))


def test_unknown_data_set(tmp_path):
    (tmp_path / "downloads/manual").mkdir(parents=True)
    with pytest.raises(ValueError, match="has no data set 'no_such"):
        image_sources.open_source("no_such_data_set", str(tmp_path))
