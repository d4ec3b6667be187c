import numpy as np
import tensorflow as tf

from mite_tf.losses import Wasserstein
from tests.losses.conftest import linear


def quadratic(inputs, training):
    """A critic whose gradient at x is x."""
    return tf.reduce_sum(inputs**2, axis=1, keepdims=True) / 2


IMAGES = tf.constant([[1.0, 0.0], [0.0, 2.0]])
TEXTS = tf.constant([[0.0, 0.5], [1.0, 0.0]])


def test_critic_and_encoders_pull_at_the_same_distance():
    # x·(3, 4): images 3 and 8, mean 5.5; texts 2 and 3, mean 2.5.
    critic, loss = linear([3.0, 4.0]), Wasserstein(gradient_penalty=0.0)
    np.testing.assert_allclose(loss.encoder_loss(critic, IMAGES, TEXTS), 3.0, rtol=1e-6)
    np.testing.assert_allclose(loss.discriminator_loss(critic, IMAGES, TEXTS), -3.0, rtol=1e-6)


def test_gradient_penalty_of_a_linear_critic():
    # The gradient is (3, 4) everywhere, norm 5: the penalty is 10 * (5 - 1)² = 160, and its
    # gradient in w is 10 * 2 * (5 - 1) * w / 5 = 16 w.
    critic, values, gradients = linear([3.0, 4.0]), [], []
    for gradient_penalty in (0.0, 10.0):
        with tf.GradientTape() as tape:
            loss = Wasserstein(gradient_penalty)
            values.append(loss.discriminator_loss(critic, IMAGES, TEXTS))
        gradients.append(tape.gradient(values[-1], critic.trainable_variables)[0])
    np.testing.assert_allclose(values[1] - values[0], 160.0, rtol=1e-5)
    np.testing.assert_allclose(gradients[1] - gradients[0], [[48.0], [64.0]], rtol=1e-5)


def test_a_flat_critic_has_a_finite_gradient():
    critic = linear([0.0, 0.0])
    with tf.GradientTape() as tape:
        value = Wasserstein(10.0).discriminator_loss(critic, IMAGES, TEXTS)
    np.testing.assert_allclose(value, 10.0, rtol=1e-5)  # 10 * (0 - 1)²
    assert np.isfinite(tape.gradient(value, critic.trainable_variables)[0]).all()


def test_penalty_is_taken_between_the_pairs():
    # Image n and text n are the same point, so every point between them is that point too.
    # Gradient norms 1 and 3: the mean of (1 - 1)² and (3 - 1)² is 2.
    points = tf.constant([[1.0, 0.0], [0.0, 3.0]])
    value = Wasserstein(1.0).discriminator_loss(quadratic, points, points)
    np.testing.assert_allclose(value, 2.0, rtol=1e-5)


def test_embeddings_without_a_partner_count_only_in_the_mean():
    # Critic values: images 0.5 and 50, texts 0.5. Penalty at the one pair, norm 1: 0.
    images, texts = tf.constant([[1.0, 0.0], [0.0, 10.0]]), tf.constant([[1.0, 0.0]])
    value = Wasserstein(1.0).discriminator_loss(quadratic, images, texts)
    np.testing.assert_allclose(value, 0.5 - 25.25, rtol=1e-5)


def test_the_seed_decides_the_points_and_each_step_draws_new_ones():
    first, second = (Wasserstein(10.0, seed=7) for _ in range(2))
    compiled = tf.function(second.discriminator_loss)
    draws = [float(first.discriminator_loss(quadratic, IMAGES, TEXTS)) for _ in range(3)]
    again = [float(compiled(quadratic, IMAGES, TEXTS)) for _ in range(3)]
    np.testing.assert_allclose(draws, again, rtol=1e-5)
    assert len(set(draws)) == 3
