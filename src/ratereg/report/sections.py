"""The sections of a report, each a function from results to a piece of the page."""

from collections.abc import Mapping

import pandas as pd

from ratereg import plots
from ratereg.claims.contrasts import ENOUGH_SEEDS
from ratereg.claims.settings import SATURATED, UNDERFITS
from ratereg.report.arrival import ARRIVED, arrivals_table
from ratereg.report.charts import gap_along_beta, sheet
from ratereg.report.findings import HIGH, LOW, Findings, curve_table
from ratereg.report.making import definitions, how_it_was_made
from ratereg.report.markup import Markup, drawn, facts, items, paragraph, pictured, section, table
from ratereg.report.naming import namer
from ratereg.studies import Results
from ratereg.summary import DATA, SETTING, data_label, groups

__all__ = ["sections"]

_TABLES = 12
"""Settings whose numbers are printed; those of what more there are lie in the CSV file."""

_COLUMNS = 3
"""Settings that stand side by side in a table; of more, each is a row."""


def sections(results: Results, notes: Mapping[str, object], command: str) -> list[tuple[str, str, Markup]]:
    """Return label, title and content of each section.

    Arguments:
        results: of any study.
        notes: more facts about the data, by name.
        command: what was typed, or "".
    """
    findings = Findings(results)
    parts = (
        ("short", "In short", _short(findings)),
        ("data", "The data", _data(results, notes)),
        ("curves", "Rate and distortion", _curves(results)),
        ("parts", "The parts of the rate", _parts(findings)),
        ("gap", "The gap between test and training images", _gap(results)),
        ("lowering", "Does lowering the weight help?", _lowering(findings)),
        ("saturation", "Saturation and underfitting", _saturation(findings)),
        ("reconstructions", "Reconstructions", _reconstructions(results)),
        ("training", "Have the networks arrived?", _training(results)),
        ("made", "How this was made", how_it_was_made(results, command)),
        ("definitions", "Definitions", definitions()),
    )
    return [(label, title, section(label, title, *content)) for label, title, content in parts]


def _short(findings: Findings) -> list[Markup]:
    parts = []
    if findings.compared:
        asked = f"What does lowering the weight of the rate from β = {HIGH:g} to β = {LOW:g} do?"
        parts += [paragraph(asked, findings.counts()), items(findings.answers())]
    if warnings := findings.warnings():
        parts += [Markup("<h3>Before you believe it</h3>"), items(warnings, "warnings")]
    return parts


def _data(results: Results, notes: Mapping[str, object]) -> list[Markup]:
    parts = []
    for index, rows in enumerate(groups(results.final, DATA)):
        row, originals = rows.iloc[0], results.arrays["test_originals"][index]
        channels, height, width = originals.shape[1:]
        split = {"default": "the source's own where it has one, else a random half each"}.get(
            row["split"], row["split"]
        )
        told = {
            "Images": f"{data_label(rows, short=True)} for training, {int(row['n_test']):,} for testing",
            "Size": f"{width} × {height} pixels, {'gray' if channels == 1 else f'{channels} channels'}",
            "Split": split,
        }
        parts.append(facts(told | dict(notes)))
        if len(originals):
            caption = f"{len(originals)} of the test images, drawn at random."
            seen = f"A sheet of {len(originals)} images of {row['dataset']}."
            parts.append(pictured(sheet(originals), f"images-{index}", seen, caption))
    return parts


def _curves(results: Results) -> list[Markup]:
    caption = Markup(
        "Distortion against rate, both in nats, along β (numbers, on the test curves): a good network is low and to "
        "the left. Large markers are means over seeds with 95% intervals, cut off where they are longer than the "
        'panel; dots are the seeds, stars β = 1. See <a href="#definitions">rate and distortion</a>.'
    )
    seen = "Distortion against rate for training and test images, one color for each network; numbers are below."
    parts = [drawn(plots.rate_distortion(results), "figure-curves", seen, caption)]
    final = results.final[results.final["partition"].isin(["train", "test"])]
    name, settings = namer(final), groups(final, SETTING)
    for index, setting in enumerate(settings[:_TABLES]):
        what = "rate R, its parts I and KL, and distortion D, in nats; means over seeds ± half a 95% interval."
        parts.append(table(curve_table(setting), f"numbers-{index}", f"{name(setting)}: {what}"))
    if len(settings) > _TABLES:
        parts.append(paragraph(f"{len(settings) - _TABLES} more settings are in the CSV file below."))
    return parts


def _parts(findings: Findings) -> list[Markup]:
    caption = (
        "The rate of training images and its parts, mutual information and marginal KL, against β, with log N of N "
        "training images, the ceiling of the mutual information. Means over seeds; the bands are 95% intervals."
    )
    seen = "Rate, mutual information and marginal KL against falling beta, with the ceiling as a dashed line."
    told = (
        "How far the mutual information of training images is below its ceiling log N, in nats, mean over seeds; "
        f"within {SATURATED:g} it is saturated."
    )
    return [
        drawn(plots.information(findings.results), "figure-parts", seen, caption),
        table(_turned(findings.saturation_table()), "ceiling", told),
    ]


def _gap(results: Results) -> list[Markup]:
    caption = (
        "The distortion of test images less that of training images, in nats, against β. Means over seeds with 95% "
        "intervals. A network that learns nothing has no gap, so a small one is no praise by itself."
    )
    seen = "The gap against falling beta, one line for each network."
    return [drawn(gap_along_beta(results), "figure-gap", seen, caption)]


def _lowering(findings: Findings) -> list[Markup]:
    if not findings.compared:
        return [paragraph(f"There is no answer: β = {HIGH:g} and β = {LOW:g} were not both measured.")]
    rule = (
        f"Within each network, β = {LOW:g} is compared with β = {HIGH:g}, paired over seeds. It improves if the whole "
        f"95% interval is below zero, worsens if it is above, and is undecided if it holds zero; fewer than "
        f"{ENOUGH_SEEDS} seeds are not enough data. Several measures stand side by side, of each of which less is "
        "better. They ask different things of a network, and may disagree."
    )
    caption = (
        f"The change of each measure from β = {HIGH:g} to {LOW:g}, in nats, with 95% intervals; left of zero is better."
    )
    seen = "Differences with their intervals, a panel for each measure, a row for each network; numbers are below."
    change = f"The change from β = {HIGH:g} to {LOW:g} in nats, its 95% interval, and the verdict."
    claims = (
        "The paper's statements, judged on these settings alone by the test distortion (the second by that of training "
        "images) and the rules of the book's ledger, where a verdict takes two settings."
    )
    return [
        paragraph(rule),
        drawn(plots.forest(findings.forest()), "figure-lowering", seen, caption),
        table(_turned(findings.lowering_table()), "changes", change),
        table(findings.claims_table(), "claims", claims),
    ]


def _saturation(findings: Findings) -> list[Markup]:
    underfits = (
        "Does a weight that reduces the mutual information underfit, that is, does it raise the training distortion by "
        f"more than {UNDERFITS:.0%}?"
    )
    return [
        paragraph(underfits),
        items(findings.underfitting()),
        paragraph("Does the test distortion go on changing once the mutual information is saturated?"),
        items(findings.after_saturation()),
    ]


def _reconstructions(results: Results) -> list[Markup]:
    # The more settings there are, the fewer images of each.
    most = 4 if len(groups(results.final, SETTING)) <= 2 else 1
    images = min(most, results.arrays["test_originals"].shape[1])
    if not images:
        return [paragraph("This study kept no pictures.")]
    caption = "Test images (first column) and what the networks of the first seed make of them, along falling β."
    seen = "Test images, each beside its reconstructions along falling beta; a block of rows for each network."
    return [drawn(plots.reconstructions(results, images=images), "figure-reconstructions", seen, caption)]


def _training(results: Results) -> list[Markup]:
    parts = [
        drawn(
            plots.trajectory(results, partition=side),
            f"figure-{side}",
            f"The distortion of {name} images against the training step, one line for each beta.",
            f"The distortion of {name} images at the recorded steps, mean over seeds.",
        )
        for side, name in (("test", "test"), ("train", "training"))
    ]
    told = (
        "The change of the test distortion from the last but one recorded step to the last, as a share of the last, "
        f"mean over seeds. Within {ARRIVED:.0%} it counts as arrived. Recorded steps are evenly spaced on a "
        "logarithmic axis."
    )
    parts.append(table(_turned(arrivals_table(results)), "arrivals", told))
    caption = "Mutual information, marginal KL and gap along training, means over seeds with 95% intervals."
    seen = "Mutual information, marginal KL and gap against the training step, one line for each beta."
    return [*parts, drawn(plots.training_parts(results), "figure-along", seen, caption)]


def _turned(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with settings as columns if they are few, else as rows."""
    return frame if frame.shape[1] <= _COLUMNS else frame.T.rename_axis("setting")
