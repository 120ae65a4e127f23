"""Saturation: where the mutual information is at its ceiling, what changes beyond, and whose ceiling it is."""

import dataclasses
import math
from collections.abc import Sequence

import pandas as pd

from ratereg.claims.contrasts import ENOUGH_SEEDS, contrast
from ratereg.claims.difficulty import plus_or_minus
from ratereg.studies import Results
from ratereg.summary import SETTING, data_label, groups, mean_interval, network_label

__all__ = [
    "SATURATED_WITHIN",
    "after_saturation",
    "after_table",
    "ceiling_table",
    "describe_after",
    "describe_ceiling",
    "describe_saturation",
    "saturated_betas",
]

SATURATED_WITHIN = 0.05
"""Nats: a mutual information that is this near to its ceiling is called saturated. Fixed before looking."""

NEGATIVE_EVIDENCE = "negative_log_pseudo_evidence"
"""The negative of annealed importance sampling's bound, so that less is better."""


def saturated_betas(results: Results) -> dict[int, list[float]]:
    """Return for each setting, in the order of `groups`, the betas whose training images' information is saturated.

    In the mean over seeds, from the largest beta down.
    """
    found = {}
    train = results.final[results.final["partition"] == "train"]
    for index, setting in enumerate(groups(train, SETTING)):
        room = (setting["log_n"] - setting["mutual_information"]).groupby(setting["beta"]).mean()
        found[index] = sorted(room.index[room < SATURATED_WITHIN], reverse=True)
    return found


def describe_saturation(results: Results) -> str:
    """Return one Markdown list item for each setting: its ceiling, and the betas at which it is reached."""
    items = []
    settings = groups(results.final[results.final["partition"] == "train"], SETTING)
    for setting, betas in zip(settings, saturated_betas(results).values(), strict=True):
        where = "at no β" if not betas else f"at β = {', '.join(f'{beta:g}' for beta in betas)}"
        others = sorted(set(setting["beta"]) - set(betas), reverse=True)
        room = (setting["log_n"] - setting["mutual_information"]).groupby(setting["beta"]).mean()
        short = "; ".join(f"{room[beta]:.2f} nats below it at β = {beta:g}" for beta in others)
        items.append(
            f"- {data_label(setting)}, {network_label(setting)}: the ceiling is {setting['log_n'].iloc[0]:.2f} nats, "
            f"and it is reached {where}" + (f" ({short})." if short else ".")
        )
    return "\n".join(items)


def after_saturation(results: Results, lows: Sequence[float] = (0.1, 0.01, 0.001)) -> pd.DataFrame:
    """Return contrasts of what is saturated: smaller betas against the largest at which the information is.

    Rows as of `contrast`, for each setting, of the training images' marginal KL and distortion, the test distortion,
    its distance from the training images', and the negative of annealed importance sampling's bound for test images. No
    rows for a setting that is saturated nowhere, or at none that is larger than one of `lows`.

    Arguments:
        results: of any study.
        lows: the smaller betas, of which those are used that were measured.
    """
    evidence = results.table.get("annealed_importance_sampling", float("nan"))
    table = results.table.assign(**{NEGATIVE_EVIDENCE: -evidence})
    measures = [("marginal_kl", "train"), ("distortion", "train"), ("distortion", "test"), ("distortion", "gap")]
    measures.append((NEGATIVE_EVIDENCE, "test"))
    parts = []
    for rows, betas in zip(groups(table, SETTING), saturated_betas(results).values(), strict=True):
        here = dataclasses.replace(results, table=rows)
        smaller = [low for low in lows if betas and low < betas[0] and low in set(rows["beta"])]
        parts += [contrast(here, *measure, low=low, high=betas[0]) for measure in measures for low in smaller]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def after_table(after: pd.DataFrame) -> pd.DataFrame:
    """Return rows of `after_saturation` as a table to be read: differences, with half the lengths of intervals."""
    rows = after[after["seeds"] > 0].copy()
    alone = [rows.iloc[[index]] for index in range(len(rows))]
    rows["data and network"] = [f"{data_label(one, short=True)}, {network_label(one)}" for one in alone]
    rows["from β"] = [f"{high:g}" for high in rows["high"]]
    rows["of"] = rows["partition"].replace("gap", "test less train") + ", " + rows["measure"].str.replace("_", " ")
    rows["to β"] = [f"to {low:g}" for low in rows["low"]]
    rows["change"] = [plus_or_minus(row) for _, row in rows.iterrows()]
    index = ["data and network", "from β", "of"]
    return rows.pivot_table(index=index, columns="to β", values="change", aggfunc="first", sort=False).fillna("")


def describe_after(after: pd.DataFrame, measure: str = "distortion") -> str:
    """Return a sentence that counts what test images' measure does, to the smallest beta of each setting."""
    rows = after[(after["partition"] == "test") & (after["measure"] == measure) & (after["seeds"] > 0)]
    words = {
        "improves": "improves",
        "worsens": "worsens",
        "undecided": "is undecided",
        "not enough data": "has too few seeds",
    }
    name = f"test {measure.replace('_', ' ')}"
    if rows.empty:
        return f"The {name} was not measured after saturation."
    last = rows[rows["low"] == rows.groupby(list(SETTING), dropna=False)["low"].transform("min")]
    counts = "; ".join(
        f"it {word} in {(last['verdict'] == key).sum()}"
        for key, word in words.items()
        if (last["verdict"] == key).any()
    )
    mean = f"{last['difference'].mean():+.1f}".replace("-", "−")
    return (
        f"From the largest saturated β down to β = {' or '.join(f'{low:g}' for low in sorted(set(last['low'])))}, the "
        f"{name} changes by {mean} nats in the mean over {len(last)} setting{'s' * (len(last) > 1)}: {counts}."
    )


def ceiling_table(results: Results) -> pd.DataFrame:
    """Return one row per setting and beta: the information of training and of fresh images, with their ceilings.

    Means over seeds, in nats. `m` is the largest number of fresh images in the aggregate posterior; `fresh_reaches` the
    largest number of them at which the information is within `SATURATED_WITHIN` of its ceiling, or 0; `last_gain` and
    `last_rise` what the information and its ceiling gain in the last step of m (NaN where there is one number).
    `below` and `above` are the best bounds on the population's information, the first being the better of the
    regression's and of `fresh_information` itself, with the outer ends `below_low` and `above_high` of 95% t intervals
    over seeds. `place` says where the population's information is by these: "beyond log N", "short of log N",
    "undecided", or "not enough data" (fewer than three seeds).

    Raises:
        ValueError: the results have no fresh images.
    """
    final = results.final
    if "information_lower_bound" not in final:
        raise ValueError("ceiling_table: results has no fresh images; give those of a study with `fresh_images`.")
    rows = []
    for setting in groups(final, [*SETTING, "beta"]):
        train = setting[setting["partition"] == "train"]
        fresh = setting[setting["partition"] == "fresh"]
        if fresh.empty:
            continue
        by_size = fresh.groupby("components")[["mutual_information", "log_n"]].mean()
        reached = by_size.index[by_size["log_n"] - by_size["mutual_information"] < SATURATED_WITHIN]
        most = fresh[fresh["components"] == fresh["components"].max()]
        # Both are bounds in expectation; the better one in the mean over seeds stands for all seeds.
        candidates = [most["mutual_information"], most["information_lower_bound"]]
        below = mean_interval(max(candidates, key=lambda one: one.mean()))
        above = mean_interval(most["information_upper_bound"])
        log_n = float(train["log_n"].iloc[0])
        if below.seeds < ENOUGH_SEEDS:
            place = "not enough data"
        else:
            place = "beyond log N" if below.low > log_n else "short of log N" if above.high < log_n else "undecided"
        row = train.iloc[0][[*SETTING, "beta", "log_n"]].to_dict()
        row |= {"train_information": train["mutual_information"].mean(), "m": int(by_size.index.max())}
        row |= {"log_m": float(by_size["log_n"].iloc[-1]), "fresh_reaches": int(max(reached, default=0))}
        steps = by_size.diff().iloc[-1]
        row |= {"last_gain": steps["mutual_information"], "last_rise": steps["log_n"]}
        row |= {"fresh_information": most["mutual_information"].mean(), "below": below.mean, "below_low": below.low}
        rows.append(row | {"above": above.mean, "above_high": above.high, "place": place, "seeds": below.seeds})
    return pd.DataFrame(rows)


def describe_ceiling(ceilings: pd.DataFrame) -> str:
    """Return Markdown that says, of rows of `ceiling_table`, for which betas the ceiling is what saturated."""
    words = {
        "beyond log N": "the population's information lies **beyond** log N = {0:.2f} at {1}",
        "short of log N": "it stays **short of** log N = {0:.2f} at {1}",
        "undecided": "on which side of log N = {0:.2f} it lies is undecided at {1}",
        "not enough data": "there is not enough data to say on which side of log N = {0:.2f} it lies at {1}",
    }
    items = []
    for setting in groups(ceilings, SETTING):
        here = setting.sort_values("beta", ascending=False)
        most, log_m = int(here["m"].iloc[0]), here["log_m"].iloc[0]
        follows = here[here["fresh_reaches"] == most]
        stops = here[here["fresh_reaches"] < most]
        parts = []
        if len(follows):
            parts.append(f"follows its ceiling up to {most:,} fresh images at {_betas(follows)}")
        if len(stops):
            behind = "; ".join(_behind(row) for _, row in stops.iterrows())
            parts.append(f"falls behind the ceiling of {log_m:.2f} nats of {most:,} images at {behind}")
        places = [
            phrase.format(here["log_n"].iloc[0], _betas(here[here["place"] == place]))
            for place, phrase in words.items()
            if (here["place"] == place).any()
        ]
        items.append(
            f"- {data_label(setting)}, {network_label(setting)}: the information {', and '.join(parts)}. By the best "
            f"bounds, {'; '.join(places)}."
        )
    return "\n".join(items)


def _behind(row: pd.Series) -> str:
    words = f"β = {row['beta']:g}, by {row['log_m'] - row['fresh_information']:.2f}"
    if math.isnan(row["last_gain"]):
        return words
    gain = f"{row['last_gain']:.2f}".replace("-", "−")
    return f"{words} (when the ceiling last rose by {row['last_rise']:.2f}, the information gained {gain})"


def _betas(rows: pd.DataFrame) -> str:
    return f"β = {', '.join(f'{beta:g}' for beta in rows['beta'])}"
