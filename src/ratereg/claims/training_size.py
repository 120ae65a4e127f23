"""What the training size does to an encoder, with the ceiling of the mutual information held."""

import pandas as pd

from ratereg.claims.contrasts import verdict
from ratereg.claims.difficulty import plus_or_minus
from ratereg.studies import Results
from ratereg.summary import DATA, NETWORK, SETTING, data_label, groups, network_label

__all__ = [
    "contrast_fresh",
    "contrast_training_sizes",
    "describe_fresh",
    "training_size_table",
]


def contrast_training_sizes(results: Results, measure: str, partition: str) -> pd.DataFrame:
    """Return, for each network and beta, a measure of the largest training size less that of the smallest.

    Paired over seeds, which give both the same initial weights and noise. Of the partition "fresh" it is that with the
    most images in the aggregate posterior, so that both have one ceiling.

    Returns:
        rows with what learned, `beta`, `few` and `many` training images, the two means `with_few` and `with_many`, and
        the columns of `contrast`. No rows where there is one training size alone.

    Raises:
        ValueError: the measure or the partition is not in the table.
    """
    final = results.final[results.final["partition"] == partition]
    if final.empty or measure not in final:
        raise ValueError(
            f"contrast_training_sizes: measure is {measure!r} and partition {partition!r}; give a column of the "
            "table, and a partition that it has."
        )
    if partition == "fresh":
        final = final[final["components"] == final["components"].max()]
    others = [name for name in DATA if name != "n_train"]
    rows = []
    for here in groups(final, [*others, *NETWORK, "beta"]):
        by_size = here.pivot(index="seed", columns="n_train", values=measure)
        few, many = by_size.columns.min(), by_size.columns.max()
        if few < many:
            row = here.iloc[0][[*others, *NETWORK, "beta"]].to_dict() | {"measure": measure, "partition": partition}
            row |= {"few": few, "many": many, "with_few": by_size[few].mean(), "with_many": by_size[many].mean()}
            rows.append(row | verdict(by_size[many] - by_size[few]))
    return pd.DataFrame(rows)


def training_size_table(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Return rows of `contrast_training_sizes` as a table to be read; several calls' rows may be put together."""
    rows = contrasts[contrasts["seeds"] > 0]
    columns: dict[str, list[str]] = {
        "of": [_named(row["measure"], row["partition"]) for _, row in rows.iterrows()],
        "network": [network_label(rows.iloc[[index]]) for index in range(len(rows))],
        "β": [f"{beta:g}" for beta in rows["beta"]],
        "few": [f"{mean:.1f} (N = {count:,})" for mean, count in zip(rows["with_few"], rows["few"], strict=True)],
        "many": [f"{mean:.1f} (N = {count:,})" for mean, count in zip(rows["with_many"], rows["many"], strict=True)],
        "difference": [plus_or_minus(row) for _, row in rows.iterrows()],
    }
    return pd.DataFrame(columns).set_index(["of", "network", "β"])


def _named(measure: str, partition: str) -> str:
    bounds = {
        "information_lower_bound": "population's information, lower bound",
        "information_upper_bound": "population's information, upper bound",
    }
    return bounds.get(measure, f"{partition} images' {measure.replace('_', ' ')}")


def contrast_fresh(results: Results) -> pd.DataFrame:
    """Return the information of fresh images less that of as many training images, where both were measured.

    Both have the same encoder and the same ceiling.

    Returns:
        rows with the setting, `beta`, and the columns of `contrast`; no rows where no training size is among the
        numbers of fresh images.
    """
    final = results.final
    train, fresh = (final[final["partition"] == name] for name in ("train", "fresh"))
    keys = ["member", "components"]
    both = train.merge(fresh[[*keys, "mutual_information"]], on=keys, suffixes=("", "_fresh"))
    both["difference"] = both["mutual_information_fresh"] - both["mutual_information"]
    rows = []
    for here in groups(both, [*SETTING, "beta"]):
        rows.append(here.iloc[0][[*SETTING, "beta"]].to_dict() | verdict(here["difference"]))
    return pd.DataFrame(rows)


def describe_fresh(contrasts: pd.DataFrame) -> str:
    """Return one Markdown list item for each setting of `contrast_fresh`, with all its betas."""
    if contrasts.empty:
        return "No training size is among the numbers of fresh images, so there is nothing to compare."
    items = []
    for setting in groups(contrasts, SETTING):
        here = setting.sort_values("beta", ascending=False)
        changes = "; ".join(f"{plus_or_minus(row, digits=2)} at β = {row['beta']:g}" for _, row in here.iterrows())
        items.append(f"- {data_label(here)}, {network_label(here)}: {changes}.")
    return "\n".join(items)
