"""The end of a report: how it was made, how to make it again, and what its words mean."""

from pprint import pformat

from ratereg.report.markup import Markup, code, download, facts, paragraph
from ratereg.studies import Data, Results
from ratereg.studies.outlook import spoken

__all__ = ["definitions", "how_it_was_made"]


def how_it_was_made(results: Results, command: str) -> list[Markup]:
    """Return the settings, the provenance, the same in a terminal and in Python, and the numbers to download."""
    study = results.study
    columns = [name for name in results.final if name != "member"]
    csv = results.final[columns].to_csv(index=False, float_format="%.6g")
    typed = (
        [paragraph("In a terminal, on the machine that it was made on:"), code(command, "Command")] if command else []
    )
    return [
        facts(_settings(results) | _provenance(results)),
        paragraph(
            "No setting was chosen by a test score. The intervals are over seeds: initial weights, batches and noise. "
            "How the images were parted is one draw, which they do not contain."
        ),
        *typed,
        paragraph("In Python, anywhere:"),
        code(_python(results), "Python code"),
        paragraph(
            download(csv, f"{study.digest}.csv", "Download the numbers of the last step as CSV"),
            "(they lie in this page).",
        ),
    ]


def _settings(results: Results) -> dict[str, object]:
    study = results.study
    bounds = f"importance-weighted on {study.bound_images} images of each side with {study.bound_samples} samples"
    if study.annealed_images:
        bounds += f", annealed on {study.annealed_images} with {study.temperatures} temperatures"
    return {
        "Data": "; ".join(map(_named, study.axis_data)),
        "Networks": "; ".join(map(str, study.axis_networks)),
        "Likelihood and prior": f"{study.chosen_likelihood}, {study.prior} prior",
        "Weights β": ", ".join(f"{beta:g}" for beta in study.axis_betas),
        "Seeds": ", ".join(map(str, study.axis_seeds)),
        "Training": f"{study.steps:,} steps of {study.batch_size} images, Adam, learning rate {study.learning_rate:g}, "
        f"{study.schedule} schedule",
        "Measured": "at the last step, rate and distortion on all images of a side; before, on at most "
        f"{study.trajectory_images:,}; the information terms with at most {study.final_queries:,} sampled images",
        "Bounds on −log p(x)": bounds if study.bound_images else "none",
    }


def _provenance(results: Results) -> dict[str, object]:
    made = results.provenance
    versions = [
        f"Python {made.get('python', '?')}",
        *(f"{name} {one}" for name, one in made.get("versions", {}).items()),
    ]
    return {
        "Time": f"{spoken(made['seconds'])} for {len(results.study)} networks" if "seconds" in made else "unknown",
        "Device": f"{made.get('device', 'unknown')}; threads: {made.get('threads', '?')}; {made.get('precision', '')}",
        "Versions": ", ".join(versions),
        "Date": made.get("date", "unknown"),
        "Digest of the study": results.study.digest,
        "Result": results.source,
    }


def _named(data: Data) -> str:
    told = {"share": data.share, "training images": data.n_train, "test images": data.n_test, "pixels": data.binarize}
    chosen = [f"{name} {value}" for name, value in told.items() if value is not None]
    return ", ".join([data.source, f"split {data.split} (seed {data.seed})", *chosen])


def _python(results: Results) -> str:
    settings = pformat(results.study.settings, width=76, compact=True, sort_dicts=False)
    return (
        f"import ratereg\n\nsettings = {settings}\n"
        "study = ratereg.Study.from_settings(settings)\n"
        "results = ratereg.load_or_run(study)\n"
        'ratereg.report.write_report(results, "report.html")'
    )


def definitions() -> list[Markup]:
    """Return what the words of a report mean, and where they come from."""
    x, z, posterior = "<i>x</i>", "<i>z</i>", "<i>q</i>(<i>z</i>|<i>x</i>)"
    meanings = {
        "Rate R": f"The mean over images of KL({posterior} ‖ <i>p</i>({z})), the nats that the code of an image takes.",
        "Distortion D": f"The mean over images of −log <i>p</i>({x}|{z}) with {z} from {posterior}: what the decoder "
        "misses. Training minimizes D + βR.",
        "Negative ELBO": f"R + D, an upper bound on −log <i>p</i>({x}).",
        "Mutual information I": "That of image and code among the images of one side: R less the marginal KL. With N "
        "images it is at most log N, its ceiling.",
        "Marginal KL": f"KL(<i>q</i>({z}) ‖ <i>p</i>({z})), how far the aggregate posterior <i>q</i>({z}), the mean of "
        f"all {posterior}, is from the prior.",
        "Gap": "Test less training images, of the distortion.",
        "Bound on −log p(x)": "An upper bound in expectation, of the decoder and the prior alone, by annealed "
        "importance sampling where there is one, else importance-weighted. On pixels between black and white the "
        "Bernoulli likelihood is not normalized, and what is bounded is a pseudo-evidence: comparable between networks "
        "on the same images, and the likelihood of nothing.",
    }
    paper = (
        '<a href="https://proceedings.mlr.press/v130/bozkurt21a.html">Rate-Regularization and Generalization in '
        "Variational Autoencoders</a> (Bozkurt et al., AISTATS 2021)."
    )
    return [
        facts({name: Markup(text) for name, text in meanings.items()}),
        paragraph("They are those of the book that comes with ratereg, the companion of", Markup(paper)),
    ]
