"""Building blocks of the scripts in `examples/`.

Importing this package registers every class in the `.keras` files that the
scripts save, so that Keras can load them.
"""

from keras_coordconv.experiments.evaluation import losses  # noqa: F401
from keras_coordconv.experiments.evaluation import metrics  # noqa: F401
from keras_coordconv.experiments.models import position_codes  # noqa: F401
from keras_coordconv.experiments.models import region_proposal  # noqa: F401
from keras_coordconv.experiments.models import vae  # noqa: F401
from keras_coordconv.experiments.reinforcement import a2c  # noqa: F401
from keras_coordconv.experiments.training import optimizers  # noqa: F401
