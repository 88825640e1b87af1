"""The contour network: a small convolutional network that hears how rows follow one another within a window.

Statistics forget order. Two convolutions over rows, averaged over the window, keep what an outburst does to level, F0
and timbre in time; docs/decisions/0010-contour-network.md has what else was tried. JAX trains it, onnxruntime runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.prosody.lld import LLD_NAMES

if TYPE_CHECKING:
    import jax
    import optax

__all__ = ["CHANNELS", "CHANNEL_COLUMNS", "DESCRIBED", "Contour", "fit_contour", "inputs", "log_odds", "silent"]

Array = NDArray[np.float32]
Layer = Callable[[Any, int], Any]

CHANNELS: tuple[str, ...] = tuple(name for name in LLD_NAMES if name not in ("f0_second_hz", "voicing_second"))
"""Descriptors that the network hears, followed by two flags: voiced, heard."""
DESCRIBED = "zero_crossing_rate_hz"
"""A number in every row but those of the line between words and of what was lost: only these others are heard."""
POOL = 2
"""Rows averaged before anything else: 40 ms steps hold what prosody does, at half the cost."""
LOUDEST = 8
"""Level counts from the window's 8th loudest row, about its 95th percentile: gain says nothing."""
QUIET_DB = 50.0
F0_REFERENCE_HZ = 110.0
OCTAVE = 3.0
"""What an octave counts for."""
SILENCE_DBFS = -120.0
CLIP = 4.0
WIDTH = 64
KERNEL = 5
STEPS = 2500
"""Batches that a network is trained on."""
BATCH = 256
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
LABEL_SMOOTHING = 0.05
MOMENTUM = 0.98
"""Share of the running mean and variance that a batch leaves as it was (Ioffe and Szegedy 2015)."""
EPSILON = 1e-4

_ENERGY, _DESCRIBED, _F0 = map(CHANNELS.index, ("energy_dbfs", DESCRIBED, "f0_hz"))
CHANNEL_COLUMNS = [LLD_NAMES.index(name) for name in CHANNELS]
"""Where they stand among the low-level descriptors."""


class Contour(NamedTuple):
    """A fitted network.

    Attributes
    ----------
    mean, scale : ndarray of float32, shape (n_channels,)
        Standardisation of the descriptors; level and F0 are told in fixed units and have 0 and 1.
    conv_1 : ndarray of float32, shape (5 * (n_channels + 2), 64)
    own_1 : ndarray of float32, shape (n_channels + 2, 64)
        What the window's own mean adds to each row.
    bias_1 : ndarray of float32, shape (64,)
    conv_2 : ndarray of float32, shape (5 * 64, 64)
    bias_2 : ndarray of float32, shape (64,)
    dense : ndarray of float32, shape (128,)
        Of the means and the standard deviations over the window.
    bias : float
    """

    mean: Array
    scale: Array
    conv_1: Array
    own_1: Array
    bias_1: Array
    conv_2: Array
    bias_2: Array
    dense: Array
    bias: float


def standard(rows: NDArray[np.float16]) -> tuple[Array, Array]:
    """Return the mean and scale of each channel over rows, float16 of shape (n, n_channels, n_frames)."""
    some = rows[:: max(1, len(rows) // 5000)].astype(np.float32)
    mean = np.asarray(np.nanmean(some, axis=(0, 2), dtype=np.float64))
    scale = np.asarray(np.nanstd(some, axis=(0, 2), dtype=np.float64)) + 1e-6
    mean[[_ENERGY, _F0]], scale[[_ENERGY, _F0]] = 0.0, 1.0
    return mean.astype(np.float32), scale.astype(np.float32)


def inputs(rows: NDArray[np.float16] | Array, mean: Array, scale: Array) -> Array:
    """Return what the network hears of windows of rows.

    Parameters
    ----------
    rows : ndarray of float16 or float32, shape (n, n_channels, 150)
        `CHANNELS` of a window's rows; NaN where unvoiced; but for the energy, NaN where
        nothing but the line was heard; NaN throughout where lost.
    mean, scale : ndarray of float32, shape (n_channels,)

    Returns
    -------
    ndarray of float32, shape (n, 75, n_channels + 2)
    """
    x = np.asarray(rows, np.float32)
    heard, voiced = ~np.isnan(x[:, _DESCRIBED]), ~np.isnan(x[:, _F0])
    energy = np.where(np.isnan(x[:, _ENERGY]), SILENCE_DBFS, x[:, _ENERGY])
    loudest = np.partition(energy, -LOUDEST, axis=1)[:, -LOUDEST, None]
    level = (np.clip(energy - loudest, -QUIET_DB, 0.0) + 20.0) / 12.0
    f0 = np.where(voiced, OCTAVE * np.log2(np.where(voiced, x[:, _F0], F0_REFERENCE_HZ) / F0_REFERENCE_HZ), 0.0)
    out = np.nan_to_num(np.clip((x - mean[:, None]) / scale[:, None], -CLIP, CLIP))
    out[:, _ENERGY], out[:, _F0] = level, np.clip(f0, -CLIP, CLIP)
    every = np.concatenate((out, voiced[:, None], heard[:, None]), axis=1)
    pooled = every.reshape(len(x), every.shape[1], -1, POOL).mean(axis=3, dtype=np.float32)
    return np.ascontiguousarray(pooled.transpose(0, 2, 1))


def _shifted(x: jax.Array) -> jax.Array:
    """Return each row beside its neighbours, so that a convolution is one product."""
    import jax.numpy as jnp

    reach = KERNEL // 2
    padded = jnp.pad(x, ((0, 0), (reach, reach), (0, 0)))
    return jnp.concatenate([padded[:, k : k + x.shape[1]] for k in range(KERNEL)], axis=2)


def _hear(parameters: Mapping[str, Any], x: jax.Array, normal: Layer, drop: Layer) -> jax.Array:
    """Return log-odds; `normal` and `drop` do to a layer what training does, or add its bias."""
    import jax.numpy as jnp

    p, heard = parameters, x[:, :, -1:]
    own = (x * heard).sum(axis=1) / jnp.maximum(heard.sum(axis=1), 1.0)
    first = _shifted((x - own[:, None]) * heard) @ p["conv_1"] + (own @ p["own_1"])[:, None]
    h = drop(jnp.maximum(normal(first, 1), 0.0), 1)
    n_pairs = h.shape[1] // 2
    h = h[:, : 2 * n_pairs].reshape(h.shape[0], n_pairs, 2, -1).mean(axis=2)
    h = drop(jnp.maximum(normal(_shifted(h) @ p["conv_2"], 2), 0.0), 2)
    deviation = jnp.sqrt(h.var(axis=1) + EPSILON)
    z = drop(jnp.concatenate((h.mean(axis=1), deviation), axis=1)[:, None], 3)[:, 0]
    return jnp.asarray(z @ p["dense"] + p["bias"])


def silent() -> Contour:
    """Return a network that has learned nothing and says 0."""
    n, width = len(CHANNELS), len(CHANNELS) + 2
    return Contour(
        mean=np.zeros(n, np.float32),
        scale=np.ones(n, np.float32),
        conv_1=np.zeros((KERNEL * width, WIDTH), np.float32),
        own_1=np.zeros((width, WIDTH), np.float32),
        bias_1=np.zeros(WIDTH, np.float32),
        conv_2=np.zeros((KERNEL * WIDTH, WIDTH), np.float32),
        bias_2=np.zeros(WIDTH, np.float32),
        dense=np.zeros(2 * WIDTH, np.float32),
        bias=0.0,
    )


def _disturbed(key: jax.Array, x: jax.Array) -> jax.Array:
    """Another line, another moment: channels shifted or silent, a stretch gone, the window moved."""
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(key, 5)
    n, length, width = x.shape
    heard = x[:, :, -1:]
    measured = jnp.arange(width) < width - 2
    x = x + 0.15 * jax.random.normal(keys[0], (n, 1, width)) * measured * heard
    gone = (jax.random.uniform(keys[1], (n, 1, width)) < 0.05) & (jnp.arange(width) < width - 1)
    start = jax.random.randint(keys[2], (n, 1, 1), 0, 60)
    until = start + jax.random.randint(keys[3], (n, 1, 1), 0, 15)
    at = jnp.arange(length)[None, :, None]
    x = jnp.where(gone | ((at >= start) & (at < until)), 0.0, x)
    return jnp.roll(x, jax.random.randint(keys[4], (), -10, 10), axis=1)


def _loss(
    parameters: dict[str, jax.Array], running: dict[str, jax.Array], key: jax.Array, x: jax.Array, truth: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    import jax
    import jax.numpy as jnp
    import optax

    keys = jax.random.split(key, 4)
    after = dict(running)

    def normal(h: jax.Array, layer: int) -> jax.Array:
        mean, variance = h.mean(axis=(0, 1)), h.var(axis=(0, 1))
        for name, value in ((f"mean_{layer}", mean), (f"variance_{layer}", variance)):
            after[name] = MOMENTUM * running[name] + (1.0 - MOMENTUM) * jax.lax.stop_gradient(value)
        return (h - mean) / jnp.sqrt(variance + EPSILON) * parameters[f"gain_{layer}"] + parameters[f"offset_{layer}"]

    def drop(h: jax.Array, layer: int) -> jax.Array:
        kept = 0.7 if layer == 3 else 0.85
        return h * jax.random.bernoulli(keys[layer], kept, (h.shape[0], 1, h.shape[2])) / kept

    scores = _hear(parameters, _disturbed(keys[0], x), normal, drop)
    smooth = truth * (1.0 - LABEL_SMOOTHING) + LABEL_SMOOTHING / 2.0
    return optax.sigmoid_binary_cross_entropy(scores, smooth).mean(), after


def fit_contour(
    rows: NDArray[np.float16], truth: NDArray[np.bool_], weights: NDArray[np.float64], *, seed: int, steps: int
) -> Contour:
    """Train the network to tell the windows of `truth` from the others.

    Parameters
    ----------
    rows : ndarray of float16, shape (n, n_channels, 150)
    truth : ndarray of bool, shape (n,)
    weights : ndarray of float64, shape (n,)
        How often each window is drawn.
    seed : int
    steps : int
        Batches.

    Returns
    -------
    Contour
        Batch normalisation folded into its convolutions.
    """
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(seed)
    mean, scale = standard(rows)
    width = rows.shape[1] + 2

    def drawn(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(0.0, np.sqrt(2.0 / shape[0]), shape), jnp.float32)

    parameters = {
        "conv_1": drawn(KERNEL * width, WIDTH),
        "own_1": drawn(width, WIDTH),
        "conv_2": drawn(KERNEL * WIDTH, WIDTH),
        "dense": 0.1 * drawn(2 * WIDTH),
        "bias": jnp.zeros(()),
    }
    running: dict[str, jax.Array] = {}
    for layer in (1, 2):
        parameters |= {f"gain_{layer}": jnp.ones(WIDTH), f"offset_{layer}": jnp.zeros(WIDTH)}
        running |= {f"mean_{layer}": jnp.zeros(WIDTH), f"variance_{layer}": jnp.ones(WIDTH)}
    optimiser, step = _training(steps)
    state = optimiser.init(parameters)
    cumulative = np.cumsum(weights) / weights.sum()
    for turn in range(steps):
        some = np.searchsorted(cumulative, rng.random(BATCH))
        x = inputs(rows[some], mean, scale)
        key = jax.random.key(seed * steps + turn)
        parameters, running, state = step(parameters, running, state, key, x, truth[some].astype(np.float32))
    return _folded(mean, scale, {k: np.asarray(v) for k, v in (parameters | running).items()})


@cache
def _training(steps: int) -> tuple[optax.GradientTransformation, Callable[..., Any]]:
    """Return the optimiser and one compiled step of it, compiled once for all networks of a run."""
    import jax
    import optax

    schedule = optax.cosine_onecycle_schedule(steps, LEARNING_RATE)
    optimiser = optax.adamw(schedule, weight_decay=WEIGHT_DECAY)

    def step(parameters: Any, running: Any, state: Any, key: Any, x: Any, truth: Any) -> tuple[Any, Any, Any]:
        gradient, running = jax.grad(_loss, has_aux=True)(parameters, running, key, x, truth)
        change, state = optimiser.update(gradient, state, parameters)
        return optax.apply_updates(parameters, change), running, state

    return optimiser, jax.jit(step)


def _folded(mean: Array, scale: Array, p: dict[str, Array]) -> Contour:
    """Fold what batch normalisation learnt into the layer before it."""
    gain = {n: p[f"gain_{n}"] / np.sqrt(p[f"variance_{n}"] + EPSILON) for n in (1, 2)}
    bias = {n: p[f"offset_{n}"] - p[f"mean_{n}"] * gain[n] for n in (1, 2)}
    return Contour(
        mean=mean,
        scale=scale,
        conv_1=p["conv_1"] * gain[1],
        own_1=p["own_1"] * gain[1],
        bias_1=bias[1],
        conv_2=p["conv_2"] * gain[2],
        bias_2=bias[2],
        dense=p["dense"],
        bias=float(p["bias"]),
    )


def log_odds(contour: Contour, rows: NDArray[np.float16] | Array) -> NDArray[np.float64]:
    """Return the log-odds of windows of rows, float64 of shape (n,)."""
    parameters = {name: np.asarray(value) for name, value in contour._asdict().items() if name not in ("mean", "scale")}
    scores = [np.zeros(0)]
    for start in range(0, len(rows), BATCH):
        some = inputs(rows[start : start + BATCH], contour.mean, contour.scale)
        whole = np.zeros((BATCH, *some.shape[1:]), np.float32)  # one shape, compiled once
        whole[: len(some)] = some
        scores.append(np.asarray(_listening()(parameters, whole), np.float64)[: len(some)])
    return np.concatenate(scores)


@cache
def _listening() -> Callable[..., Any]:
    import jax

    def listen(p: Mapping[str, Any], x: Any) -> Any:
        return _hear(p, x, lambda h, layer: h + p[f"bias_{layer}"], lambda h, layer: h)

    return jax.jit(listen)
