"""What the scripts in `examples/` are made of.

To import it is enough to load what they have saved: it registers every class
that is in their `.keras` files.
"""

from keras_coordconv.experiments.evaluation import losses  # noqa: F401
from keras_coordconv.experiments.evaluation import metrics  # noqa: F401
from keras_coordconv.experiments.models import position_codes  # noqa: F401
from keras_coordconv.experiments.models import region_proposal  # noqa: F401
from keras_coordconv.experiments.models import vae  # noqa: F401
from keras_coordconv.experiments.reinforcement import a2c  # noqa: F401
from keras_coordconv.experiments.training import optimizers  # noqa: F401
