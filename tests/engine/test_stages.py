"""A stage moves exactly what it promises; stopped anywhere, the run is the uninterrupted one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.engine import toy
from tests.engine.test_loop import Stop, _Count, without_times
from tfvision.engine.distribute import make_strategy
from tfvision.engine.schedules import Cosine, Plateau
from tfvision.engine.signals import Interrupted
from tfvision.engine.stages import Stage, StagedModel, first_shares, planned_shares
from tfvision.engine.step import TrainStep, batch_loss
from tfvision.losses import CrossEntropy

ENCODER = Stage(trainable=("encoder_*", "bottom*"), epochs=2)
REST = Stage(trainable=("up_*", "decoder_*", "logits"), restart=True)


def take(step, count=2, rate=1e-2):
    """What moved in some steps: names of variables."""
    data = iter(step.strategy.experimental_distribute_dataset(toy.stream()))
    before = toy.values(step)
    for _ in range(count):
        assert np.isfinite(float(step(next(data), rate)))
    after = toy.values(step)
    return {k for k in before if not np.array_equal(before[k], after[k])}


def of_encoder(name):
    return any(part in name for part in ("encoder_", "bottom"))


@pytest.mark.parametrize(
    "options",
    [
        {"ema": 0.5, "accumulate": 2},
        {"devices": 2, "ema": 0.5, "clip_norm": 0.1},
    ],
    ids=lambda options: "-".join(options),
)
def test_a_stage_moves_what_it_promises_and_nothing_else(options):
    """Weights, statistics, dropout's states, slots, averages; weight decay is on."""
    devices = options.pop("devices", 1)
    strategy = make_strategy(f"cpu:{devices}") if devices > 1 else None
    step = toy.train_step(strategy, stages=(ENCODER, REST), **options)
    step.begin_stage(0)
    layers = {id(v): layer.name for layer in step.model.layers for v in layer.variables}
    names = dict(zip(step.named_variables(), step.model.variables, strict=False))
    names = {name: layers[id(v)] for name, v in names.items()}
    averages = [n for n in toy.values(step) if n.startswith("average/")]
    for name, v in zip(averages, step._averaged, strict=True):
        names[name] = layers[id(v)]
    general = {n for n in toy.values(step) if n.endswith(("iteration", "learning_rate"))}
    everything = set(toy.values(step)) - general
    for number in (0, 1):
        step.begin_stage(number)
        moved = take(step) - general
        promised = {n for n in everything if of_encoder(names.get(n, n)) == (number == 0)}
        assert moved == promised
    step.leave_stages()


def test_mixed_precision_moves_what_it_promises():
    def scaled():
        adam = keras.optimizers.AdamW(1e-2)
        return keras.optimizers.LossScaleOptimizer(adam, name="loss_scale", initial_scale=1024.0)

    keras.config.set_dtype_policy("mixed_float16")
    try:
        step = toy.train_step(stages=(ENCODER, REST), clip_norm=1.0, optimizer=scaled)
    finally:
        keras.config.set_dtype_policy("float32")
    for number in (0, 1):
        step.begin_stage(number)
        moved = {n for n in take(step, 6) if n.startswith("model/") and "seed_" not in n}
        assert moved
        assert all(of_encoder(n) == (number == 0) for n in moved)
    step.leave_stages()


def test_a_frozen_layer_is_as_in_inference():
    """A stage over the logits is a training of the logits on fixed features."""
    step = toy.train_step(stages=(Stage(trainable=("logits",)),), optimizer=_sgd)
    model = step.model
    step.begin_stage(0)
    features = keras.Model(model.input, model.get_layer("logits").input)
    batch = next(iter(toy.stream()))
    kernel, bias = (tf.Variable(w) for w in model.get_layer("logits").get_weights())
    with tf.GradientTape() as tape:
        logits = features(batch["image"], training=False) @ kernel[0, 0] + bias
        loss = tf.reduce_mean(_loss(batch, [logits]))
    gradients = tape.gradient(loss, (kernel, bias))
    expected = [w - 0.1 * g for w, g in zip((kernel, bias), gradients, strict=True)]
    found = step(batch, 0.1)
    np.testing.assert_allclose(found, loss, rtol=1e-5)
    for new, w in zip(model.get_layer("logits").get_weights(), expected, strict=True):
        np.testing.assert_allclose(new, w, rtol=1e-5, atol=1e-7)
    step.leave_stages()


def _sgd():
    return keras.optimizers.SGD(0.1, name="sgd")


def _loss(batch, outputs):
    from tfvision.losses import Dice

    return batch_loss([(CrossEntropy(), 1.0), (Dice(), 0.5)])(batch, outputs)


def test_a_stage_starts_from_the_averages_with_a_new_optimizer():
    step = toy.train_step(stages=(ENCODER, REST), ema=0.5)
    new = toy.values(step)
    step.begin_stage(0)
    take(step, 3)
    averaged = [np.array(v) for v in step.scored_values()]
    step.begin_stage(1)
    for variable, value in zip(step.model.variables, averaged, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    for variable, average in zip(step._averaged, step.averages, strict=True):
        np.testing.assert_array_equal(variable.numpy(), average.numpy())
    now = toy.values(step)
    slots = [n for n in new if n.startswith("optimizer/") and not n.endswith("learning_rate")]
    assert len(slots) > 10
    assert all(np.array_equal(now[n], new[n]) for n in slots)
    step.leave_stages()


def staged(folder=None, *, plan=None, **options):
    step = toy.train_step(ema=0.9, stages=(ENCODER, REST))
    the_plan = plan or toy.plan()
    return toy.loop(folder, step=step, the_plan=the_plan, validate=_score(step), **options)


def _score(step):
    """Worse with every epoch of a stage, since a stage has a new optimizer."""
    return lambda: {"val_score": -float(step.optimizer.iterations.numpy())}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    loop = staged(tmp_path_factory.mktemp("whole"))
    state = loop.run()
    return loop.variables_sha256, without_times(state.history)


@pytest.mark.parametrize("at", [6, 7])
def test_stopped_inside_or_between_stages_and_resumed_is_the_same_run(uninterrupted, tmp_path, at):
    stop = Stop(at)
    with pytest.raises(Interrupted):
        staged(tmp_path, callbacks=[_Count(stop)]).run(stop)
    second = staged(tmp_path)
    assert f"goes on after step {at}" in second.restore()[-1]
    state = second.run()
    assert (second.variables_sha256, without_times(state.history)) == uninterrupted
    assert all(layer.trainable for layer in second.model.layers)


def test_history_and_rate_know_the_stage(uninterrupted):
    history = uninterrupted[1]
    assert [row["stage"] for row in history] == [1, 1, 2, 2]
    over_all, over_stage = (lambda p: 1e-2 * Cosine(warmup=0.1).factor(p, 0)), 5 / 6
    assert history[1]["learning_rate"] == pytest.approx(over_all(5 / 12))
    assert history[3]["learning_rate"] == pytest.approx(over_all(over_stage))


def test_a_stage_is_announced_and_a_restarted_plateau_is_new(tmp_path):
    lines = []

    class Said:
        line = staticmethod(lines.append)
        live = staticmethod(lambda text: None)

    plateau = toy.plan(schedule=Plateau(patience=1, gamma=0.1))
    loop = staged(plan=plateau, progress=Said)
    rates = [row["learning_rate"] for row in loop.run().history]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-2, 1e-3])
    assert "stage 1 of 2: 8 of 14 layers learn (encoder_*, bottom*)" in lines
    assert any(line.startswith("stage 2 of 2: 6 of 14 layers") for line in lines)


@pytest.mark.parametrize(("patience", "stages"), [(1, [1, 1, 2]), (2, [1, 1, 2, 2])])
def test_early_stopping_counts_anew_and_ends_the_last_stage_only(patience, stages):
    loop = staged(plan=toy.plan(epochs=9, early_stopping=patience))
    assert [row["stage"] for row in loop.run().history] == stages


def test_a_time_limit_skips_no_stage():
    shares = (Stage(share=0.2), Stage(share=0.2, trainable=("logits",)), Stage())
    plan = toy.plan(time_limit=10.0)
    loop = toy.loop(step=toy.train_step(stages=shares), the_plan=plan)
    begun = []
    for seconds in (0.0, 1.0, 2.0, 9.0, 9.0, 9.0):  # a long epoch in the second stage
        loop.state.elapsed = seconds
        loop._next_stage()
        begun.append(loop.state.stage)
    assert begun == [0, 0, 1, 2, 2, 2]
    loop.state.stage = -1
    loop.state.elapsed = 9.0
    assert [loop._next_stage() or loop.state.stage for _ in range(3)] == [0, 1, 2]
    loop.train_step.leave_stages()


def test_shares_and_epochs_say_when_a_stage_begins():
    thirds = [Stage(share=1 / 3), Stage(share=1 / 3), Stage()]
    assert first_shares(thirds, 10) == [0.0, 0.3, 0.7]
    assert planned_shares(thirds) == pytest.approx([0, 1 / 3, 2 / 3])
    assert first_shares([Stage(epochs=2), Stage(epochs=3), Stage()], 10) == [0.0, 0.2, 0.5]


# -- two nets in a row: outputs, transfer, what cannot be -----------------------------------------


def twins():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    a = keras.layers.Conv2D(4, 3, padding="same", name="a_1")(image)
    one = keras.layers.Conv2D(3, 1, name="a_out")(a)
    b = keras.layers.Conv2D(4, 3, padding="same", name="b_1")(image)
    b = keras.layers.Concatenate(name="both")([b, one])
    return keras.Model(image, [one, keras.layers.Conv2D(3, 1, name="b_out")(b)])


@pytest.mark.parametrize("xla", [False, True])
def test_only_the_outputs_of_a_stage_count_and_others_are_not_computed(xla):
    model = twins()
    stages = (Stage(outputs=(0,), epochs=1), Stage(trainable=("b_*",), outputs=("b_out",)))
    loss = batch_loss([(CrossEntropy(), 1.0)])
    strategy = tf.distribute.get_strategy()
    options = {"strategy": strategy, "batch_size": 4, "stages": stages, "xla": xla}
    step = TrainStep(model, _sgd(), loss, **options)
    batch = next(iter(toy.stream()))
    for number, prefix in ((0, "a_"), (1, "b_")):
        step.begin_stage(number)
        logits = model(batch["image"])[number]
        before = {v.path: v.numpy() for v in model.variables}
        np.testing.assert_allclose(step(batch, 0.1), np.mean(loss(batch, [logits])), rtol=1e-5)
        moved = {v.path for v in model.variables if not np.array_equal(before[v.path], v.numpy())}
        assert moved == {p for p in before if p.startswith(prefix)}
    step.leave_stages()
    part = StagedModel(model, stages).parts[0]
    assert [y.name for y in part.model.layers] == ["image", "a_1", "a_out"]


def test_transfer_copies_what_fits_and_names_the_rest():
    model = twins()
    two = StagedModel(model, (Stage(epochs=1), Stage(transfer={"a_": "b_"})))
    assert two.transfer(0) == []
    assert two.transfer(1) == ["b_* has the weights of 1 layers of a_*; not those of a_out"]
    one, other = (model.get_layer(n).get_weights() for n in ("a_1", "b_1"))
    np.testing.assert_array_equal(one[0], other[0])


def test_what_was_frozen_before_stays_frozen():
    model = twins()
    model.get_layer("a_1").trainable = False
    staged = StagedModel(model, (Stage(trainable=("a_out",)), Stage()))
    for number, learning in ((0, ["a_out"]), (1, ["a_out", "b_1", "b_out"])):
        staged.enter(number)
        names = [y.name for y in model.layers if y.trainable and y.weights]
        assert sorted(names) == learning
    staged.leave()
    assert not model.get_layer("a_1").trainable
    assert model.get_layer("b_1").trainable


def test_a_nested_model_is_frozen_layer_by_layer():
    inner = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 1, name="c")])
    inner.name = "inner"
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, keras.layers.Conv2D(3, 1, name="head")(inner(image)))
    staged = StagedModel(model, (Stage(trainable=("head",)), Stage(trainable=("inner/*",))))
    staged.enter(0)
    assert [v.path for v in model.trainable_variables] == ["head/kernel", "head/bias"]
    staged.enter(1)
    assert [v.path for v in model.trainable_variables] == [v.path for v in inner.variables]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            Stage(trainable=("a_*", "c_*")),
            r"train.stages\[0\]: trainable `c_\*` matches no layer with weights to learn. Layers "
            "are a_1, a_out, b_1, b_out",
        ),
        (Stage(trainable=("both",)), "`both` matches no layer with weights"),
        (
            Stage(trainable=("b_*",), outputs=(0,)),
            r"the outputs 0 depend on no layer of trainable `b_\*`: nothing would teach it",
        ),
        (Stage(outputs=(2,)), "has no output 2. Its outputs are 0: a_out, 1: b_out"),
        (Stage(outputs=("c_out",)), "has no output 'c_out'"),
        (
            Stage(transfer={"a_o": "b_o"}),
            r"transfer of `a_o\*` to `b_o\*` hands nothing on.*Those of a_out do not",
        ),
        (Stage(transfer={"c_": "b_"}), r"hands nothing on.*No layer is `c_\*`"),
    ],
)
def test_a_stage_that_does_not_fit_the_model(stage, message):
    with pytest.raises(ValueError, match=message):
        StagedModel(twins(), (stage,))
