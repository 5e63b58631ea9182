import numpy as np

from keras_coordconv.experiments.datasets import placed_rectangles


def test_each_rectangle_is_around_its_center():
    canvases = placed_rectangles.canvases(3, cells=4, seed=1)
    image, label = canvases["image"][..., 0], canvases["label"]
    assert image.shape == label.shape == (3, 48, 48)
    np.testing.assert_array_equal(image, label > 0)
    for example in range(3):
        for number in range(1, 17):
            pixels = np.argwhere(label[example] == number)
            first, last = pixels.min(axis=0), pixels.max(axis=0)
            lengths = last - first + 1
            assert len(pixels) == lengths.prod()
            assert lengths.min() >= 3 and lengths.max() <= 9
            center = canvases["center"][example, number - 1]
            np.testing.assert_array_equal(center, (first + last) / 2)
            # It touches no other.
            around = label[example][
                first[0] - 1 : last[0] + 2, first[1] - 1 : last[1] + 2
            ]
            assert {*np.unique(around)} == {0, number}


def test_questions_are_about_the_rectangle_at_the_center():
    canvases = placed_rectangles.canvases(20, seed=4)
    queries = placed_rectangles.make_queries(20, seed=4)
    np.testing.assert_array_equal(queries["image"], canvases["image"])
    numbers = set()
    for label, center, mask in zip(
        canvases["label"], queries["center"], queries["mask"], strict=True
    ):
        number = label[tuple(center.astype(int))]
        np.testing.assert_array_equal(mask[..., 0], label == number)
        numbers.add(number)
    assert len(numbers) > 5 and 0 not in numbers
