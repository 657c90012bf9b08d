"""Pictures of penalties, sparse codes and atoms."""

import numpy as np
from matplotlib.figure import Figure
from pictures.shared import BLUE, GREY, RED, X, X_test, canvas, mse, rows_of, trained

from isthmus import L1, Dense, Dictionary
from isthmus.metrics import active
from isthmus.probe import filters

_GIVEN = {"epochs": 40, "learning_rate": 5e-3, "random_state": 0}


def batch_size() -> Figure:
    """Mean activation against the batch size, with a penalty summed over a sample and over the batch."""
    sizes, steps = [8, 32, 128, 512], 600
    figure, ax = canvas(6, 3)
    for per, color in (("sample", BLUE), ("batch", RED)):
        means = []
        for size in sizes:
            penalty = L1(1e-4 if per == "batch" else 1e-3, per=per)
            epochs = max(1, round(steps * size / len(X)))
            network = Dense(bottleneck=96, output="sigmoid")
            model = trained(network, penalty=penalty, batch_size=size, **{**_GIVEN, "epochs": epochs})
            means.append(np.abs(model.transform(X_test)).mean())
        ax.plot(sizes, means, marker="o", color=color, label=f'per="{per}"')
    ax.set(xscale="log", xlabel="batch size", ylabel="mean activation", ylim=(-0.02, None))
    ax.set_xticks(sizes, sizes)
    ax.legend()
    return figure


def collapsed() -> Figure:
    """What a collapsed model makes of different digits."""
    model = trained(Dense(bottleneck=96, output="sigmoid"), penalty=L1(1e-3, per="batch"), **_GIVEN)
    sound = trained(Dense(bottleneck=96, output="sigmoid"), penalty=L1(1e-3), **_GIVEN)
    rows = {
        "image": X_test[:9],
        'per="sample"': sound.reconstruct(X_test[:9]),
        'per="batch"': model.reconstruct(X_test[:9]),
        "the mean image": np.repeat(X.mean(axis=0)[None], 9, axis=0),
    }
    return rows_of(rows)


def exact_zeros() -> Figure:
    """Numbers of a code, largest first, of a linear and a rectified one with the same penalty."""
    figure, ax = canvas(6, 3)
    for activation, color in (("linear", RED), ("relu", BLUE)):
        network = Dictionary(hidden=(64,), n_atoms=96, code_activation=activation)
        code = np.abs(trained(network, penalty=L1(3e-3), **_GIVEN).transform(X_test))
        on = active(code).sum(axis=1).mean()
        in_order = np.sort(code, axis=1)[:, ::-1].mean(axis=0) + 1e-9
        ax.plot(in_order, color=color, label=f"{activation}: {on:.0f} of 96 on")
    ax.set(yscale="log", ylim=(1e-7, None), xlabel="numbers of the code, largest first", ylabel="mean size")
    ax.legend()
    return figure


def norm_for_penalty() -> Figure:
    """Length of atoms and size of codes, with and without unit norm."""
    figure, axes = canvas(7, 2.8, 2)
    for unit_norm, color in ((False, RED), (True, BLUE)):
        norms, codes, weights = [], [], [1e-4, 1e-3, 1e-2]
        for weight in weights:
            network = Dictionary(n_atoms=96, unit_norm=unit_norm)
            model = trained(network, penalty=L1(weight), **_GIVEN)
            code = model.transform(X_test)
            atoms = filters(model, (1, 8, 8), "decoder")[""].reshape(96, -1)
            norms.append(np.linalg.norm(atoms, axis=1)[active(code).any(axis=0)].mean())
            codes.append(code.sum(axis=1).mean())
        label = "held at length 1" if unit_norm else "free"
        axes[0].plot(weights, norms, marker="o", color=color, label=label)
        axes[1].plot(weights, codes, marker="o", color=color, label=label)
    axes[0].set(xscale="log", xlabel="weight of L1", ylabel="mean length of atoms in use")
    axes[1].set(xscale="log", xlabel="weight of L1", ylabel="Σ|code| of an image")
    axes[0].legend()
    return figure


def atoms_on() -> Figure:
    """The same image by 64 numbers of which all are on, and of which few are."""
    figure, axes = canvas(7, 2.6, 2, sharey=True)
    for ax, weight in zip(axes, (0.0, 3e-3), strict=True):
        model = trained(Dictionary(n_atoms=64), penalty=L1(weight) if weight else None, **_GIVEN)
        code = model.transform(X_test[:1])[0]
        on = int(active(code).sum())
        ax.bar(range(64), code, color=np.where(active(code), BLUE, GREY))
        ax.set(title=f"weight {weight:g}: l0 = {on}, error {mse(X_test[:1], model.reconstruct(X_test[:1])):.4f}")
        ax.set_xlabel("atom")
    axes[0].set_ylabel("number of the code")
    return figure
