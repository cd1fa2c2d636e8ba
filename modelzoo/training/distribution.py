"""Train on several devices or in several processes at once, by the engines of TensorFlow and JAX.

Each replica of the network takes a slice of every batch, and all apply the mean gradient over the
whole batch: N replicas train what one would, but for the order in which floats are summed.
Importing this starts no framework.
"""

from __future__ import annotations

import contextlib
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from modelzoo.config.sections import Trainer
from modelzoo.support.errors import InputError, RunError
from modelzoo.training.cluster import Cluster, start_workers

if TYPE_CHECKING:
    import keras

    from modelzoo.config import Config
    from modelzoo.data.pipeline import InputPipeline
    from modelzoo.data.tensorflow_batches import ReplicaSlices
    from modelzoo.training.device import Device


class Distribution:
    """How many replicas train together; by itself, one replica of the network in one process."""

    one_step_at_a_time = False  # whether `steps_per_execution` must be 1
    lost: tuple[type[Exception], ...] = ()  # what is raised when another worker has gone

    def __init__(self, replicas: int = 1, cluster: Cluster | None = None) -> None:
        cluster = cluster or Cluster()
        self.replicas, self.workers = replicas, max(1, len(cluster.addresses))
        self.is_chief = cluster.is_chief

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which the trained network is made, compiled and changed."""
        return contextlib.nullcontext()

    def fitting(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which it is fitted."""
        return contextlib.nullcontext()

    def check(self, config: Config, network: keras.Model, pipeline: InputPipeline) -> None:
        """Raise an InputError for what would train something else than one replica does."""
        import keras

        if self.replicas == 1:
            return
        size, optimizer = config.data.batch_size, config.compile.optimizer
        validation = pipeline.images_in("validation")
        if size < self.replicas:
            raise InputError(
                f"data.batch_size: {size} is the batch of all replicas together, and there are "
                f"{self.replicas}; it should be at least as large"
            )
        if 0 < validation < self.replicas:
            raise InputError(
                f"data.validation_split: leaves {validation} validation images, and there are "
                f"{self.replicas} replicas; keep more, or none"
            )
        if type(network).train_step is not keras.Model.train_step:
            raise InputError(
                f"--distribute: {config.name} learns by a rule of its own, image by image; "
                "train it with --distribute none"
            )
        if keras.backend.backend() != "tensorflow":
            return
        if config.trainer.precision == "mixed_float16":
            raise InputError(
                "--precision mixed_float16: each replica would decide alone whether its gradients "
                "are finite; choose mixed_bfloat16, or --backend jax"
            )
        options = optimizer.get("config", {}) if isinstance(optimizer, dict) else {}
        clipped = [name for name in ("clipnorm", "clipvalue", "global_clipnorm") if name in options]
        if clipped:
            raise InputError(
                f"compile.optimizer.config.{clipped[0]}: Keras would clip the gradient of each "
                "replica, not their mean; leave it out, or choose --backend jax"
            )

    def ready(self, model: keras.Model, pipeline: InputPipeline) -> None:
        """Finish a compiled network that will be fitted to the batches of a pipeline."""

    def batches(
        self, pipeline: InputPipeline, first_step: int, class_weight: Mapping[int, float] | None
    ) -> Any:
        """Return what `fit` takes as data, from a step on, validation data and class weights."""
        validation = None
        if pipeline.images_in("validation"):
            validation = pipeline.scoring_batches("validation")
        return pipeline.training_batches(first_step), validation, class_weight

    def agree(self, what: str) -> None:
        """Raise an InputError in all workers, unless they hold the same text."""

    @contextlib.contextmanager
    def own_errors(self, advice: str) -> Iterator[None]:
        """Raise a RunError that ends with `advice` when another worker has gone."""
        try:
            yield
        except self.lost as error:
            raise RunError(f"another worker has ended or cannot be reached. {advice}") from error


class TensorFlowReplicas(Distribution):
    """`tf.distribute`: MirroredStrategy in one process, MultiWorkerMirroredStrategy in several."""

    # Keras' loop over steps fails under a strategy of several replicas: "You must feed a value for
    # placeholder tensor while/cond/Placeholder" (Keras 3.15, TensorFlow 2.21).
    one_step_at_a_time = True

    def __init__(self, strategy: Any, cluster: Cluster) -> None:
        from tensorflow import errors

        super().__init__(strategy.num_replicas_in_sync, cluster)
        self.strategy = strategy
        gone = (errors.UnavailableError, errors.AbortedError, errors.DeadlineExceededError)
        self.lost = gone if self.workers > 1 else ()
        # TensorFlow counts the slices of a process where Keras expects the steps of an epoch.
        warnings.filterwarnings("ignore", "Your input ran out of data")

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        return self.strategy.scope()

    def ready(self, model: keras.Model, pipeline: InputPipeline) -> None:
        """Synchronize batch normalisation, and build what `fit` would build.

        It would average the images of a batch over the replicas, whose slices may differ in size.
        """
        for layer in model._flatten_layers():
            if hasattr(layer, "synchronized"):  # over the whole batch
                layer.synchronized = True
        with self.scope():
            model._symbolic_build(data_batch=pipeline.first_images())
        model._maybe_symbolic_build = lambda **batch: None

    def batches(
        self, pipeline: InputPipeline, first_step: int, class_weight: Mapping[int, float] | None
    ) -> Any:
        """Return the slices of this process; their weights hold the class weights."""
        from modelzoo.data.tensorflow_batches import ReplicaSlices

        def slices(context: Any) -> ReplicaSlices:
            count = self.replicas // context.num_input_pipelines
            return ReplicaSlices(self.replicas, count * context.input_pipeline_id, count)

        distribute = self.strategy.distribute_datasets_from_function
        training = distribute(
            lambda context: pipeline.training_batches(first_step, slices(context), class_weight)
        )
        validation = None
        if pipeline.images_in("validation"):
            validation = distribute(
                lambda context: pipeline.scoring_batches("validation", slices=slices(context))
            )
        return training, validation, None

    def agree(self, what: str) -> None:
        import tensorflow as tf

        own = tf.constant([zlib.crc32(what.encode())], tf.int64)
        if self.workers > 1 and len(set(self.strategy.gather(own, axis=0).numpy().tolist())) > 1:
            raise InputError(
                "--distribute workers: the workers do not train the same: configuration, data set "
                "or saved epochs differ. Give all the same command, files and versions"
            )


class JaxReplicas(Distribution):
    """`keras.distribution.DataParallel`, which XLA spreads over the devices of one process.

    The program that is spread is that of one device, so that batch normalisation, dropout and
    clipping of gradients are those of one device, too.
    """

    def __init__(self, kind: str) -> None:
        import keras

        class WholeBatches(keras.distribution.DataParallel):
            """Gives each device the whole batch, and divides the work from the first layer on.

            As inputs, JAX divides only batches that the number of devices divides, and Keras
            takes the layout of the first batch for all.
            """

            network = ""

            def get_data_layout(self, data_shape: tuple[int, ...]) -> Any:
                return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)

            def get_tensor_layout(self, path: str) -> Any:
                if not path.startswith(f"{self.network}/"):  # a layer of the input pipeline
                    return None
                return keras.distribution.TensorLayout([self.batch_dim_name], self.device_mesh)

        devices = keras.distribution.list_devices(kind)
        super().__init__(len(devices))
        self.engine = WholeBatches(devices=devices)

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        return self.engine.scope()

    fitting = scope

    def ready(self, model: keras.Model, pipeline: InputPipeline) -> None:
        self.engine.network = model.name


def start_distribution(
    trainer: Trainer, cluster: Cluster, device: Device, notify: Callable[[str], None]
) -> Distribution:
    """Return what `trainer.distribute` asks for, once the framework has started."""
    if trainer.distribute == "none":
        return Distribution()
    kind = device.name.partition(":")[0]
    if trainer.backend == "jax":
        distribution: Distribution = JaxReplicas(kind)
    else:
        import tensorflow as tf

        if len(cluster.addresses) > 1:
            strategy = start_workers(cluster)
        else:
            devices = [each.name for each in tf.config.list_logical_devices(kind.upper())]
            strategy = tf.distribute.MirroredStrategy(devices)
        distribution = TensorFlowReplicas(strategy, cluster)
    if distribution.replicas == 1:
        chosen = f"--distribute {trainer.distribute}"
        notify(f"{chosen}: there is only one, {device.name}; going on with it")
        return Distribution()
    return distribution
