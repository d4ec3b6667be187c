import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from mite_tf.models import FusedAdamW


@pytest.fixture
def words():
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential([
        keras.layers.Embedding(30, 8), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(4)
    ])  # fmt: skip
    encoder.build((None, 5))
    return encoder


def stepper(encoder, optimizer, *, dense):
    variables = encoder.trainable_variables
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build(variables)

    @tf.function
    def step(ids, targets):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(encoder(ids) - targets))
        gradients = tape.gradient(loss, variables)
        if dense:
            gradients = [tf.convert_to_tensor(each) for each in gradients]
        optimizer.apply(gradients, variables)

    return step


def batches(seed=0):
    random = np.random.default_rng(seed)
    return [
        (random.integers(0, 20, (16, 5)), random.normal(0, 3, (16, 4)).astype("float32"))
        for _ in range(20)
    ]


def state(encoder, optimizer):
    return [each.numpy() for each in (*encoder.trainable_variables, *optimizer.variables)]


@pytest.mark.parametrize("dense", [True, False], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    "settings",
    [
        {"global_clipnorm": 2.0},
        {"weight_decay": 0.0, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
        {"amsgrad": True, "clipnorm": 0.5},
        {"learning_rate": keras.optimizers.schedules.CosineDecay(0.02, 20)},
    ],
    ids=["clipped", "betas", "amsgrad", "schedule"],
)
def test_twenty_steps_are_those_of_keras_to_rounding(words, settings, dense):
    settings = {"learning_rate": 0.02, "weight_decay": 0.1, **settings}
    copy = keras.models.clone_model(words)
    copy.set_weights(words.get_weights())
    ours, theirs = FusedAdamW(**settings), keras.optimizers.AdamW(**settings)
    steps = stepper(words, ours, dense=dense), stepper(copy, theirs, dense=dense)
    for batch in batches():
        for step in steps:
            step(*batch)
    for found, expected in zip(state(words, ours), state(copy, theirs), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=5e-6)


def test_a_step_is_one_operation_for_each_variable(words):
    step = stepper(words, FusedAdamW(global_clipnorm=1.0), dense=False)
    graph = step.get_concrete_function(*batches()[0]).graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert kinds.count("ResourceApplyAdam") == len(words.trainable_variables) == 3


def test_going_on_from_its_state_or_that_of_keras_is_the_same_to_the_bit(words):
    begun = keras.optimizers.AdamW(0.02)
    step = stepper(words, begun, dense=True)
    for batch in batches(1):
        step(*batch)
    saved = [each.numpy() for each in (*words.trainable_variables, *begun.variables)]
    ends = []
    for _ in range(2):
        optimizer = FusedAdamW.from_config(FusedAdamW(0.02).get_config())
        step = stepper(words, optimizer, dense=True)
        for variable, value in zip(
            (*words.trainable_variables, *optimizer.variables), saved, strict=True
        ):
            variable.assign(value)
        for batch in batches(2):
            step(*batch)
        ends.append(state(words, optimizer))
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(ends[0][3]) == 40


def test_it_is_an_adamw_of_keras_that_a_file_keeps():
    optimizer = FusedAdamW(0.02, weight_decay=0.3, beta_1=0.5, global_clipnorm=2.0)
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(copy) is FusedAdamW
    assert isinstance(copy, keras.optimizers.AdamW)
    assert copy.get_config() == optimizer.get_config()
    plain = keras.optimizers.AdamW(0.02, weight_decay=0.3, beta_1=0.5, global_clipnorm=2.0)
    assert optimizer.get_config() == plain.get_config() | {"name": optimizer.name}


def test_the_graph_of_a_step_goes_with_it():
    variable, optimizer = keras.Variable([1.0, 2.0]), FusedAdamW(0.02, global_clipnorm=2.0)
    optimizer.build([variable])
    step = tf.function(lambda: optimizer.apply([tf.constant([3.0, 4.0])], [variable]))
    graph = weakref.ref(step.get_concrete_function().graph)
    del step
    gc.collect()
    assert graph() is None
