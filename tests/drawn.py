"""Results of no training, whose numbers are all different and say where they belong; and what is drawn of them."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd

DATA = {"checkerboard": 81_920, "cv": 16_384}
MODELS = {"1 hidden layer": 1, "3 hidden layers": 3}
MEASURES = ("rate", "distortion", "mutual_information", "marginal_kl")


def value(measure, panel, model, beta, seed, partition, step):
    """A number for each place in the table: no two are the same, and rates grow as beta falls."""
    place = 1000 * panel + 100 * model + 40 * (partition == "test") + 10 * MEASURES.index(measure)
    return 5 + place / 10 + 3 * math.log10(20 / max(beta, 1e-4)) + seed**2 + step / 1000


def results(
    numbers=value,
    *,
    data=tuple(DATA),
    models=tuple(MODELS),
    betas=(5, 1, 0.3, 0.1, 0.01, 0.001),
    seeds=3,
    steps=(10, 100),
    channels=3,
    **columns,
):
    """Results with a column for each argument in `columns`, whose values are of the models in turn."""
    rows = []
    trainings = list(itertools.product(enumerate(data), enumerate(models), betas, range(seeds)))
    for member, ((panel, split), (model, name), beta, seed) in enumerate(trainings):
        n_train = DATA[split]
        where = {
            "setting": f"{panel}{model}setting",
            "member": member,
            "dataset": "tetrominoes",
            "data": f"{panel}data",
            "split": split,
            "share": math.nan if split == "checkerboard" else 0.1,
            "n_train": n_train,
            "n_test": 163_840 - n_train,
            "data_seed": 0,
            "network": "mlp",
            "layers": MODELS.get(name, 2),
            "width": 512,
            "latent_dim": 10,
            "architecture": name,
            "prior": "gaussian",
            "likelihood": "bernoulli",
            "steps": steps[-1],
            "batch_size": 128,
            "learning_rate": 1e-3,
            "schedule": "constant",
            "warm_up": 0,
            "precision": "float32",
            "beta": beta,
            "seed": seed,
        } | {column: values[model] for column, values in columns.items()}
        for step, partition in itertools.product(steps, ("train", "test")):
            found = {one: numbers(one, panel, model, beta, seed, partition, step) for one in MEASURES}
            count = n_train if step == steps[-1] else 500
            of_images = {"images": count, "components": count, "log_n": math.log(count)}
            rows.append(where | {"step": step, "partition": partition} | found | of_images)
    generator = np.random.default_rng(0)
    arrays = {
        "test_originals": generator.integers(0, 256, (len(data), 4, channels, 8, 8), dtype=np.uint8),
        "test_reconstructions": generator.integers(0, 256, (len(trainings), 4, channels, 8, 8), dtype=np.uint8),
        "member_dataset": np.array([panel for (panel, _), *_ in trainings]),
    }
    table = pd.DataFrame(rows)
    return SimpleNamespace(table=table, final=table[table["step"] == steps[-1]].reset_index(drop=True), arrays=arrays)


def lines(panel):
    return {
        line.get_label(): np.column_stack(line.get_data())
        for line in panel.lines
        if not line.get_label().startswith("_")
    }


def intervals(panel, color):
    """The intervals of a color, (interval, end, coordinate), in the order in which they were drawn."""
    found = [one for one in panel.lines if one.get_label() == "_interval" and one.get_color() == color]
    return np.array([np.column_stack(one.get_data()) for one in found])


def half_width(values):
    """Half of Student's 95% interval of three values."""
    return 4.302653 * np.std(values, ddof=1) / math.sqrt(3)
