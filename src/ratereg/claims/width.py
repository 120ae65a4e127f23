"""Width: what wider hidden layers change at the same depth and beta."""

import pandas as pd

from ratereg.claims.contrasts import signed, verdict
from ratereg.studies import Results
from ratereg.summary import DATA, data_label, groups

__all__ = ["contrast_widths", "describe_widths"]


def contrast_widths(results: Results, partition: str = "test") -> pd.DataFrame:
    """Return, for each data set, depth and beta, the distortion of the widest network less that of the narrowest.

    Arguments:
        results: of a study whose networks differ in depth and width alone.
        partition: "train" or "test".

    Returns:
        one row for each of these with `narrow` and `wide`, the units a layer, and, paired over seeds and in nats,
        `seeds`, `difference`, its interval and `verdict` as in `contrast`: "improves" if wider is better.

    Raises:
        ValueError: the partition is unknown, several networks have one depth and width, or there is one width alone.
    """
    if partition not in ("train", "test"):
        raise ValueError(f"contrast_widths: partition is {partition!r}; give 'train' or 'test'.")
    rows = results.final[results.final["partition"] == partition]
    keys = [*DATA, "layers", "beta"]
    if rows.duplicated([*keys, "width", "seed"]).any():
        raise ValueError(
            "contrast_widths: results has several networks of one depth and width; give a study whose networks differ "
            "in these alone."
        )
    narrow, wide = int(rows["width"].min()), int(rows["width"].max())
    if narrow == wide:
        raise ValueError(f"contrast_widths: results has the width {wide} alone; give a study of several.")
    contrasts = []
    for here in groups(rows, keys):
        by_width = here.pivot_table(index="seed", columns="width", values="distortion").reindex(columns=[narrow, wide])
        where = here.iloc[0][keys].to_dict() | {"partition": partition, "narrow": narrow, "wide": wide}
        contrasts.append(where | verdict(by_width[wide] - by_width[narrow]))
    return pd.DataFrame(contrasts)


def describe_widths(contrasts: pd.DataFrame) -> str:
    """Return Markdown for rows of `contrast_widths`: a sentence for each beta, and a list item for each row."""
    phrases = {
        "improves": "**improves** the {0}: {1}.",
        "worsens": "**worsens** the {0}: {1}.",
        "undecided": "changes the {0} by {1}: **undecided**, the interval holds zero.",
        "not enough data": "changes the {0} by {1}: **not enough data** for a verdict.",
    }
    counts = []
    for beta, rows in contrasts.groupby("beta", sort=False):
        found = rows["verdict"].value_counts().reindex(list(phrases), fill_value=0)
        what = ", ".join(f"{word} in {number}" for word, number in found.items() if number)
        counts.append(f"Of {len(rows)} comparison{'' if len(rows) == 1 else 's'} at β = {beta:g}, wider: {what}.")
    items = []
    for index in range(len(contrasts)):
        row = contrasts.iloc[index]
        depth = f"{row['layers']} hidden layer{'' if row['layers'] == 1 else 's'}"
        where = f"{data_label(contrasts.iloc[[index]])}, {depth}, β = {row['beta']:g}"
        change = f"{signed(row)} ({row['seeds']} seed{'' if row['seeds'] == 1 else 's'})"
        said = phrases[row["verdict"]].format(f"{row['partition']} distortion", change)
        items.append(f"- {where}: {row['wide']} units a layer instead of {row['narrow']} {said}")
    return "\n".join([" ".join(counts), "", *items])
