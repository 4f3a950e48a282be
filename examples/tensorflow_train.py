"""Neural collaborative filtering of MovieLens-100K with TensorFlow, as anybody may have it.

Workers find each other by TF_CONFIG and train the same model (MultiWorkerMirroredStrategy).
"""

import argparse
import importlib.util
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import tensorflow as tf

NUM_USERS, NUM_FILMS, DIM = 944, 1683, 32


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """User, film, and whether the user liked it, of every rating."""
    package = importlib.util.find_spec("recbole")
    if package is None or package.origin is None:
        raise SystemExit("MovieLens-100K is missing: pip install --no-deps recbole==1.2.1")
    file = Path(package.origin).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"
    rows = np.loadtxt(file, skiprows=1, dtype=np.int32)
    return rows[:, 0], rows[:, 1], (rows[:, 2] >= 4).astype(np.float32)


def batches(context: tf.distribute.InputContext, global_batch: int) -> tf.data.Dataset:
    """This worker's share of each batch, drawn by chance."""
    users, films, liked = (tf.constant(column) for column in load())
    share = context.get_per_replica_batch_size(global_batch)
    drawn = tf.data.Dataset.random(seed=context.input_pipeline_id)

    def pick(seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        rows = tf.random.stateless_uniform([share], [seed, 0], 0, len(users), tf.int32)
        return tf.gather(users, rows), tf.gather(films, rows), tf.gather(liked, rows)

    return drawn.map(pick).prefetch(2)


class Filtering(tf.Module):
    """Vectors of user and film, and an MLP over both."""

    def __init__(self) -> None:
        super().__init__()
        self.users = variable([NUM_USERS, DIM], 0.1)
        self.films = variable([NUM_FILMS, DIM], 0.1)
        widths = (2 * DIM, 256, 128, 1)
        shapes = list(pairwise(widths))
        self.weights = [variable([a, b], (2 / a) ** 0.5) for a, b in shapes]
        self.biases = [variable([b], 0.0) for _, b in shapes]

    def __call__(self, users: tf.Tensor, films: tf.Tensor) -> tf.Tensor:
        hidden = tf.concat([tf.gather(self.users, users), tf.gather(self.films, films)], axis=1)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = tf.nn.relu(hidden @ weight + bias)
        return tf.squeeze(hidden @ self.weights[-1] + self.biases[-1], axis=1)


def variable(shape: list[int], stddev: float) -> tf.Variable:
    """Each worker adds its own change; what all of them hold is the sum."""
    first = tf.random.stateless_normal(shape, seed=[len(shape), shape[0]], stddev=stddev)
    return tf.Variable(first, aggregation=tf.VariableAggregation.SUM)


def training(strategy: tf.distribute.Strategy, options: argparse.Namespace) -> Iterator[tf.Tensor]:
    """The loss of step after step."""
    with strategy.scope():
        model = Filtering()

    def step(users: tf.Tensor, films: tf.Tensor, liked: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model(users, films)
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=liked, logits=logits)
            loss = tf.reduce_sum(losses) / options.global_batch_size
        variables = model.trainable_variables
        for each, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            each.assign_sub(options.lr * tf.convert_to_tensor(gradient))
        return loss

    @tf.function
    def step_of_all(batch: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        return strategy.reduce("SUM", strategy.run(step, args=batch), axis=None)

    data = strategy.distribute_datasets_from_function(
        lambda context: batches(context, options.global_batch_size)
    )
    for batch in data:
        yield step_of_all(batch)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--global-batch-size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--lr", type=float, default=0.2)
    parser.add_argument("--steps", type=int, default=100_000)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    is_chief = strategy.cluster_resolver.task_id in (None, 0)
    for number, loss in zip(range(1, options.steps + 1), training(strategy, options), strict=False):
        if number % 10 == 0 and is_chief:
            print(f"step {number} of {options.steps}, loss {loss.numpy():.4f}", flush=True)


if __name__ == "__main__":
    main()
