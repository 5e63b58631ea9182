"""Image files for tests: drawn here, good ones and numbered ones."""

import io

import numpy as np
from PIL import Image


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


def write_folder(folder, contents):
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def unnormalized(image):
    return image * np.array([58.395, 57.12, 57.375]) + [123.675, 116.28, 103.53]


def numbers_of(images):
    """Which of the numbered images a batch has."""
    means = unnormalized(images.numpy()).mean(axis=(1, 2, 3))
    return np.round(means / 10).astype(int).tolist()


def write_numbered_folder(folder):
    """23 training and 7 validation images; image n has the gray value 10 n."""
    contents = {}
    for subset, count in (("train", 23), ("val", 7)):
        for number in range(count):
            flat = np.full((40, 50, 3), 10 * number, "uint8")
            name = f"{subset}/class{number % 3}/{number:03d}.jpg"
            contents[name] = encode(flat)
    return write_folder(folder, contents)
