"""Results of no training, whose numbers all differ and tell where they belong; and what a figure shows of them."""

import itertools
import math

import numpy as np
import pandas as pd

from ratereg import Data, Results, Study

DATA = {"checkerboard": 81_920, "cv": 16_384}
MODELS = {"1 hidden layer": 1, "3 hidden layers": 3}
MEASURES = ("rate", "distortion", "mutual_information", "marginal_kl")
BOUNDS = ("information_lower_bound", "information_upper_bound")
SIDE, IMAGES, LATENTS = 8, 4, 64


def value(measure, panel, model, beta, seed, partition, step):
    """Return a number of its own for each place in the table; it grows as beta falls."""
    place = 1000 * panel + 100 * model + 40 * (partition == "test") + 10 * MEASURES.index(measure)
    return 5 + place / 10 + 3 * math.log10(20 / max(beta, 1e-4)) + seed**2 + step / 1000


def results(
    numbers=value,
    *,
    data=DATA,
    models=tuple(MODELS),
    betas=(5, 1, 0.3, 0.1, 0.01, 0.001),
    seeds=3,
    steps=(10, 100),
    fresh=(),
    channels=3,
    images=IMAGES,
    **columns,
):
    """Return results of trainings on each data set, of each model, beta and seed.

    Arguments:
        numbers: value of a measure at a place; `panel` and `model` are the numbers of the data set and the model.
        data: number of training images for each split.
        models: labels of the architectures; names that MODELS lacks have two layers.
        fresh: numbers of fresh images, with bounds at the last one.
        images: number of pictures.
        columns: for each further column its value for each model.
    """
    rows = []
    trainings = list(itertools.product(enumerate(data.items()), enumerate(models), betas, range(seeds)))
    for member, ((panel, (split, n_train)), (model, name), beta, seed) in enumerate(trainings):
        setting = {"setting": f"{panel}{model}setting", "problem": f"{panel}{model}problem", "data": f"{panel}data"}
        trained_on = {"dataset": "tetrominoes", "split": split, "n_train": n_train, "n_test": 1000 + panel}
        trained_on |= {"share": n_train / 163_840, "data_seed": 0}
        network = {
            "network": "mlp",
            "layers": MODELS.get(name, 2),
            "width": 512,
            "latent_dim": 10,
            "architecture": name,
        }
        how = {"prior": "gaussian", "likelihood": "bernoulli", "steps": steps[-1], "batch_size": 128}
        how |= {"learning_rate": 1e-3, "schedule": "constant", "warm_up": 0, "precision": "float32"}
        which = {"member": member, "beta": beta, "seed": seed}
        given = {column: values[model] for column, values in columns.items()}
        training = setting | trained_on | network | how | which | given
        places = [(step, partition, n_train) for step in steps for partition in ("train", "test")]
        places += [(steps[-1], "fresh", size) for size in fresh]
        for step, partition, count in places:
            count = count if step == steps[-1] else 500
            measured = {one: numbers(one, panel, model, beta, seed, partition, step) for one in MEASURES}
            measured |= {"images": count, "components": count, "log_n": math.log(count)}
            if partition == "fresh":
                measured["mutual_information"] = min(measured["mutual_information"], math.log(count))
                ends = (7.5 + seed + beta, 9.5 + seed + beta) if count == fresh[-1] else (math.nan, math.nan)
                measured |= dict(zip(BOUNDS, ends, strict=True))
            rows.append(training | {"step": step, "partition": partition} | measured)
    generator = np.random.default_rng(0)
    latent_dim = rows[0]["latent_dim"]
    arrays = {
        "test_originals": generator.integers(0, 256, (len(data), images, channels, SIDE, SIDE), dtype=np.uint8),
        "test_reconstructions": generator.integers(0, 256, (len(trainings), images, channels, SIDE, SIDE), np.uint8),
        "member_dataset": np.array([panel for (panel, _), *_ in trainings]),
        "train_mean": 1.5 * generator.normal(size=(len(trainings), LATENTS, latent_dim)),
        "train_log_var": generator.normal(-4, 0.5, size=(len(trainings), LATENTS, latent_dim)),
    }
    return Results(Study(data=Data("tetrominoes"), steps=steps[-1]), pd.DataFrame(rows), arrays, {})


def lines(panel):
    """Return the points of each line of a panel by its label, without those whose labels keep out of legends."""
    named = (line for line in panel.lines if not line.get_label().startswith("_"))
    return {line.get_label(): np.column_stack(line.get_data()) for line in named}


def intervals(panel, color):
    """Return the intervals of a color, (interval, end, coordinate), in the order in which they were drawn."""
    found = [one for one in panel.lines if one.get_label() == "_interval" and one.get_color() == color]
    return np.array([np.column_stack(one.get_data()) for one in found])


def half_width(values):
    """Return half of Student's 95% interval of three values."""
    return 4.302653 * np.std(values, ddof=1) / math.sqrt(3)
