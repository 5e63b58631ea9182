"""Reading LSUN's format, on generated zip files and folders."""

import io
import shutil
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from keras_coordconv.experiments.datasets import lsun

pytestmark = pytest.mark.tensorflow_backend

RANDOM = np.random.default_rng(0)
# Images of one color each, in different sizes and formats.
SIZES = ((70, 90), (64, 64), (200, 100), (80, 65), (33, 40))
COLORS = RANDOM.integers(0, 256, (5, 3))


def encode(color, size, format):
    buffer = io.BytesIO()
    Image.new("RGB", size, tuple(color.tolist())).save(
        buffer, format, **({"lossless": True} if format == "webp" else {})
    )
    return buffer.getvalue()


def write_zip(folder, name=f"{lsun.NAME}/data.mdb"):
    """Writes a zip file as LSUN's authors distribute it."""
    lmdb = pytest.importorskip("lmdb")
    with (
        lmdb.open(str(folder / "new")) as database,
        database.begin(write=True) as transaction,
    ):
        for number, size in enumerate(SIZES):
            file = encode(COLORS[number], size, "webp")
            transaction.put(f"{number:040x}".encode(), file)
    with zipfile.ZipFile(folder / f"{lsun.NAME}.zip", "w") as archive:
        archive.write(folder / "new/data.mdb", name)
    shutil.rmtree(folder / "new")


def colors_of(dataset):
    images = np.concatenate(list(dataset.as_numpy_iterator()))
    assert images.shape[1:] == (64, 64, 3) and images.dtype == np.uint8
    assert (images == images[:, :1, :1]).all()
    return images[:, 0, 0].tolist()


def test_zip_file(tmp_path):
    write_zip(tmp_path)
    images = lsun.open_images(tmp_path)
    assert len(images) == 5
    assert colors_of(lsun.dataset(images, 2)) == COLORS.tolist()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [lsun.NAME, f"{lsun.NAME}.zip"]

    # The zip file is unpacked only once.
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path / lsun.NAME, moved / lsun.NAME)
    (moved / f"{lsun.NAME}.zip").write_bytes(b"junk")
    assert len(lsun.open_images(moved)) == 5


def test_zip_file_unpacked_by_another_process(tmp_path, monkeypatch):
    write_zip(tmp_path)
    unpack = lsun._unpack

    def unpack_twice(packed, folder):
        unpack(packed, tmp_path / lsun.NAME)
        unpack(packed, folder)

    monkeypatch.setattr(lsun, "_unpack", unpack_twice)
    assert len(lsun.open_images(tmp_path)) == 5
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [lsun.NAME, f"{lsun.NAME}.zip"]


def test_folder_of_images(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    for number, size in enumerate(SIZES):
        path = tmp_path / ("a/b" if number > 2 else "a") / f"{number}.png"
        path.write_bytes(encode(COLORS[number], size, "png"))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "damaged.png").write_bytes(b"junk")
    images = lsun.open_images(tmp_path)
    dataset = lsun.dataset(images, 2)
    assert sorted(colors_of(dataset)) == sorted(COLORS.tolist())
    assert len(colors_of(lsun.dataset(images, 2, limit_examples=3))) == 2


def test_orders(tmp_path):
    write_zip(tmp_path)
    images = lsun.open_images(tmp_path)
    dataset = lsun.dataset(images, 2, shuffle_seed=3)
    epochs = [colors_of(dataset) for _ in range(3)]
    assert all(sorted(p) == sorted(COLORS.tolist()) for p in epochs)
    assert epochs[0] != epochs[1]
    resumed = lsun.dataset(images, 2, shuffle_seed=3, epochs_done=2)
    assert colors_of(resumed) == epochs[2]


@pytest.mark.parametrize(
    ("file_format", "dtype"),
    [("png", "uint16"), ("tiff", "uint16"), ("tiff", ">u2"), ("tiff", "int32")],
)
def test_sixteen_bits_of_gray(file_format, dtype):
    """Pillow would clip them to 255, which is white."""
    ramp = np.linspace(0, 65535, 128 * 128).reshape(128, 128).astype(dtype)
    buffer = io.BytesIO()
    Image.fromarray(ramp).save(buffer, file_format)
    found = lsun.decode_square(buffer.getvalue())
    expected = (ramp // 256).reshape(64, 2, 64, 2).mean(axis=(1, 3))
    for channel in range(3):
        np.testing.assert_allclose(found[..., channel], expected, atol=1)


@pytest.mark.parametrize(
    "kind",
    ["png", "png P", "bmp", "bmp P", "bmp L", "gif", "webp", "jpeg CMYK"],
)
def test_formats_and_palettes(tmp_path, kind):
    file_format, _, mode = kind.partition(" ")
    image = Image.new("RGB", (70, 90), (200, 30, 30))
    if mode:
        image = image.quantize(4) if mode == "P" else image.convert(mode)
    image.save(tmp_path / f"0.{file_format}")
    images = lsun.open_images(tmp_path)
    assert len(images) == 1
    color = (81, 81, 81) if mode == "L" else (200, 30, 30)
    found = next(lsun.dataset(images, 1).as_numpy_iterator())
    np.testing.assert_allclose(found, np.full((1, 64, 64, 3), color), atol=3)


def test_center_of_an_image():
    # 128 x 192: the center is 128 x 128, and each 2x2 block becomes a pixel.
    image = RANDOM.integers(0, 256, (192, 128, 3), "uint8")
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    center = image[32:160].reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    found = lsun.decode_square(buffer.getvalue())
    np.testing.assert_allclose(found, center, atol=1)


def test_no_images(tmp_path):
    with pytest.raises(ValueError, match="Data folder not found"):
        lsun.open_images(tmp_path / "nowhere")
    with pytest.raises(
        ValueError, match=r"must contain bedroom_train_lmdb\.zip"
    ):
        lsun.open_images(tmp_path)
    packed = tmp_path / f"{lsun.NAME}.zip"
    packed.write_bytes(b"junk")
    with pytest.raises(
        ValueError, match=r"zip must be a zip file with .*data.mdb"
    ):
        lsun.open_images(tmp_path)
    write_zip(tmp_path, name="data.mdb")
    with pytest.raises(ValueError, match="must be a zip file with"):
        lsun.open_images(tmp_path)
    assert list(tmp_path.iterdir()) == [packed]
    packed.unlink()
    (tmp_path / lsun.NAME).mkdir()
    with pytest.raises(ValueError, match=r"Cannot read .* as an LMDB"):
        lsun.open_images(tmp_path)


def test_without_the_package(tmp_path, monkeypatch):
    write_zip(tmp_path)
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(ImportError, match=r"pip install .*\[lsun\]"):
        lsun.open_images(tmp_path)
