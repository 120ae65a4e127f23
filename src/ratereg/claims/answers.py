"""What the ledger says, in words that follow from its numbers alone."""

from collections.abc import Sequence

import pandas as pd

from ratereg.claims.contrasts import ENOUGH_SEEDS, signed
from ratereg.claims.gather import MEASURES
from ratereg.claims.ledger import Finding
from ratereg.claims.verdicts import ENOUGH_SETTINGS, Verdict

__all__ = ["describe_claim", "summarize"]


def describe_claim(finding: Finding) -> str:
    """Return Markdown: the verdict, the settings that it rests on, the effect, and whether other measures agree."""
    clause = _effect_clause(finding) if finding.main.settings else ""
    parts = [_verdict_sentences(finding), f"{clause[0].upper()}{clause[1:]}." if clause else ""]
    parts += [_left_out(finding), _remark(finding)]
    if len(finding.verdicts) > 1:
        parts.append(_agreement(finding))
    parts.append(f"It is shown in {{numref}}`{finding.figure}`.")
    return " ".join(part for part in parts if part)


def summarize(findings: Sequence[Finding]) -> str:
    """Return a Markdown list of claims with their verdicts in short, and a sentence on what is not tested."""
    items = [f"{one.claim.number}. *{one.claim.statement}.* {_in_brief(one)}" for one in findings]
    untested = (
        "Which priors would do better, the open end of the fourth claim, is not tested: every network here has the "
        "standard Gaussian prior."
    )
    return "\n".join(items) + f"\n\n{untested}"


def _in_brief(finding: Finding) -> str:
    verdict, unit, label = finding.main, finding.claim.unit, MEASURES[finding.claim.measures[0]].label
    word = f"**{verdict.word.capitalize()}.**"
    if not verdict.settings:
        return f"{word} No {unit} has the {ENOUGH_SEEDS} seeds that the contrast takes."
    brief = (
        f"{word} By the {label}, {verdict.supporting} of {_count(verdict.settings, unit)} "
        f"{_speak(verdict.supporting)} for it and {verdict.opposing} against; {_effect_clause(finding)}."
    )
    others = [f"{one.word} by the {MEASURES[name].label}" for name, one in list(finding.verdicts.items())[1:]]
    return f"{brief} Judged in other ways: {', '.join(others)}." if others else brief


def _verdict_sentences(finding: Finding) -> str:
    verdict, label = finding.main, MEASURES[finding.claim.measures[0]].label
    word = f"**{verdict.word.capitalize()}.**"
    if verdict.settings == 0:
        return f"{word} No {finding.claim.unit} has the {ENOUGH_SEEDS} seeds that the contrast takes, by the {label}."
    counted = (
        f"of {_count(verdict.settings, finding.claim.unit)} with at least {ENOUGH_SEEDS} seeds, {verdict.supporting} "
        f"{_speak(verdict.supporting)} for it, {verdict.opposing} against it, and {verdict.undecided} "
        f"{'is' if verdict.undecided == 1 else 'are'} undecided"
    )
    if verdict.settings < ENOUGH_SETTINGS:
        counted += f"; a verdict takes {_count(ENOUGH_SETTINGS, finding.claim.unit)}"
    return f"{word} By the {label}, {counted}."


def _effect_clause(finding: Finding) -> str:
    verdict, label = finding.main, MEASURES[finding.claim.measures[0]].label
    effect = finding.claim.effect.format(measure=label, low=finding.low, high=finding.high)
    ends = {"difference": verdict.effect, "difference_low": verdict.effect_low, "difference_high": verdict.effect_high}
    where = "in the mean over these" if verdict.settings > 1 else "there"
    return f"{where}, {effect} is {signed(pd.Series(ends))}"


def _left_out(finding: Finding) -> str:
    rows, unit = finding.main.rows, finding.claim.unit
    sentences = []
    if few := int((rows["counts"] == "too few seeds").sum()):
        sentences.append(f"{_count(few, f'more {unit}')} {'has' if few == 1 else 'have'} too few seeds.")
    silent = rows[rows["counts"] == "not counted"]
    for reason, group in silent.groupby("reason", sort=False):
        says = "says" if len(group) == 1 else "say"
        sentences.append(f"{_count(len(group), unit)} {says} nothing, as {reason}.")
    return " ".join(sentences)


def _remark(finding: Finding) -> str:
    """Say whether training distortion rises before any mutual information is lost, in claims that look at this."""
    rows = finding.main.rows
    if "while_saturated" not in rows:
        return ""
    judged = rows[~rows["while_saturated"].isin(["", "not enough data"])]
    if judged.empty:
        return ""
    rises = int((judged["while_saturated"] == "worsens").sum())
    return (
        f"In {rises} of the {_count(len(judged), 'setting')} in which more than the smallest β saturates the mutual "
        "information, the training distortion is more than 5% up already at the largest β that does"
        + (": underfitting without a loss of mutual information." if rises else ".")
    )


def _agreement(finding: Finding) -> str:
    main, *others = finding.verdicts.items()
    word = main[1].word
    told = [(name, one) for name, one in others if one.word != "not enough data"]
    silent = [name for name, one in others if one.word == "not enough data"]
    lack = f"By the {_joined(silent)} there is not enough data." if silent else ""
    if word == "not enough data" or not told:
        disagreeing = [f"by the {MEASURES[name].label} {_in_short(one)}" for name, one in told]
        return " ".join(part for part in (f"Other measures: {'; '.join(disagreeing)}." * bool(told), lack) if part)
    differing = [(name, one) for name, one in told if one.word != word]
    if not differing:
        return f"The {'other measure agrees' if len(told) == 1 else 'other measures agree'}. {lack}".rstrip()
    words = "; ".join(f"by the {MEASURES[name].label} it is {_in_short(one)}" for name, one in differing)
    agreeing = [name for name, one in told if one.word == word]
    agree = f" The {_joined(agreeing)} agree{'s' * (len(agreeing) == 1)}." if agreeing else ""
    return f"**The measures disagree**: {words}.{agree} {lack}".rstrip()


def _joined(names: list[str]) -> str:
    labels = [MEASURES[name].label for name in names]
    return labels[0] if len(labels) == 1 else f"{', the '.join(labels[:-1])} and the {labels[-1]}"


def _in_short(verdict: Verdict) -> str:
    return f"{verdict.word} ({verdict.supporting} for, {verdict.opposing} against, {verdict.undecided} undecided)"


def _count(number: int, name: str) -> str:
    # Of "pair of networks" the pairs are many.
    first, *rest = name.rsplit(" of ", 1)
    return " of ".join([f"{number} {first}{'' if number == 1 else 's'}", *rest])


def _speak(number: int) -> str:
    return "speaks" if number == 1 else "speak"
