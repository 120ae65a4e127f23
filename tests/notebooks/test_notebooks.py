"""Every chapter runs with reduced settings, trains for real, and its numbers are asserted."""

import functools
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ratereg import CATALOG
from ratereg.rerun import parameters_of, rerun

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.md"))
REDUCED = yaml.safe_load((NOTEBOOKS / "reduced.yaml").read_text())
RECORD = "application/vnd.ratereg.record+json"
# The entropy floor of all 163,840 images is 49.8 +- 0.3 nats; a thousand of them give it to about +- 1.
FLOOR = pytest.approx(49.8, abs=2)

Records = dict[str, Any]


def trained(records: Records) -> None:
    assert math.isfinite(records["test_distortion_last"])
    assert records["test_distortion_last"] < records["test_distortion_first"] - 5


def rate_distortion(records: Records) -> None:
    trained(records)
    assert records["entropy_floor"] == FLOOR
    assert records["test_distortion_last"] < records["zero_rate_distortion"]
    assert records["train_distortion_above_floor"] > 0


def mutual_information(records: Records) -> None:
    assert records["identity_residual"] < 1e-9
    assert records["residual_in_the_table"] < 1e-6
    assert records["quadrature_error"] < 0.05
    assert records["above_ceiling"] <= 1e-9
    assert records["minibatch_above_ceiling"] < 1e-4
    assert records["weighted_less_plain_less_log_n"] < 1e-9
    # Beyond four standard errors, like the next two.
    assert records["plain_above_exact"] <= 0
    assert records["weighted_below_log_n"] <= 0
    assert records["stratified_below_exact"] <= 0


def aggregate_posterior(records: Records) -> None:
    assert records["identity_residual"] < 1e-9
    assert records["mass_error"] < 1e-3
    # The sum over a grid of steps as wide as the blur is itself off by up to 0.02 nats.
    assert records["grid_error"] < 5 * records["grid_error_se"] + 0.02
    assert records["above_ceiling"] <= 1e-9
    assert records["marginal_kl_rises_by"] > 0
    assert records["split_disagreement_in_se"] < 5


def measuring(records: Records) -> None:
    for partition in ("train", "test"):
        assert records[f"{partition}_residual"] < 1e-9
        assert records[f"{partition}_above_ceiling_in_se"] < 4
    assert records["under_residual"] < 1e-9
    assert records["divergence_least_in_se"] > -4
    assert records["kept_above_ceiling"] <= 1e-9
    assert records["population_bounds_ordered"]
    assert records["quantity"] == "pseudo-evidence"
    assert records["iwae_rises_in_se"] > -4
    assert records["annealed_above_weighted_least"] > -1
    assert records["gap_least_in_se"] > -4
    assert records["weighted_above_quadrature_in_se"] < 4
    # In the mean over images, with few and short chains.
    assert records["annealed_error_by_quadrature"] < 1.5
    assert 1 <= records["perplexity_least"] <= records["perplexity_most"] <= records["images"]


def linear_vae(records: Records) -> None:
    assert records["objective_below_optimum_in_se"] < 4
    # Training is cut short here; with the chapter's own settings the median is below one nat.
    assert records["objective_excess_median"] < 25
    assert records["chords_hold"]
    assert records["smallest_beta_has_lowest_test_distortion"]
    assert 0.8 < records["share_of_steps_that_lower_test_distortion"] < 1
    assert records["highest_hump"] > 0.3
    assert records["limit_error_many_images"] < 1
    assert records["best_beta_of_elbo"] > 1
    assert records["best_beta_of_log_prob"] > 2
    assert records["information_above_ceiling"] <= 1e-9
    assert records["annealed_error_largest"] < 3
    assert records["importance_bound_above_truth_in_se"] < 4
    assert records["information_bounds_hold_in_se"] < 4


def tetrominoes(records: Records) -> None:
    assert records["entropy_floor"] == FLOOR
    # The brute force itself is a mean of 8 x 8 samples a pixel here.
    assert records["renderer_error_max"] < 0.1
    assert records["renderer_error_mean"] < 0.002
    assert records["images_in_two_sides"] == 0


def capacity(records: Records) -> None:
    trained(records)
    assert records["test_distortion_finite"]
    assert records["lowest_distortion_above_floor"] > 0
    assert records["identity_residual"] < 1e-6
    # With the control variate the estimate is below log N up to its noise, and not term by term.
    assert records["information_above_ceiling_in_se"] < 4
    assert records["members"] == 8
    assert records["width_residual"] < 1e-6
    assert records["width_distortion_falls_by"] > 5
    # Of one data set, two depths and two weights.
    assert records["width_comparisons"] == 4
    # Three numbers of latents, and two schedules, which end otherwise.
    assert records["searched"] == 6
    assert records["search_in_order"]
    assert records["schedules_differ_by"] > 0


def ledger(records: Records) -> None:
    assert records["claims"] == 10
    assert set(records["words"]) <= {"supported", "contradicted", "mixed", "not enough data"}
    assert records["every_setting_is_counted_once"]
    assert records["settings_found_in_a_study"] == records["settings"] >= 4
    assert records["residual"] < 1e-9
    counts = [records[name] for name in ("supporting", "opposing", "undecided", "too_few_seeds")]
    assert sum(counts) == records["settings"]


def difficulty(records: Records) -> None:
    trained(records)
    assert records["finite"]
    assert records["identity_residual"] < 1e-6
    assert records["distances_rise"]
    # All test images are in the classes here, so their mean is the whole's up to the noise of the latents.
    assert records["classes_off_the_mean"] < 0.05
    assert records["checkerboard_over_halves"] > 1.3
    assert records["central_over_halves"] == pytest.approx(1, abs=0.2)
    assert records["members"] == 8


def saturation(records: Records) -> None:
    trained(records)
    assert records["identity_residual"] < 1e-6
    assert records["information_above_ceiling_in_se"] < 4
    assert records["bounds_finite"]
    assert records["bounds_crossed_in_se"] < 4
    assert records["fresh_above_bound_in_se"] < 4
    # In expectation more images add information; a thousand give it to about a tenth of a nat.
    assert records["information_falls_with_images_at_most"] < 0.3
    assert records["sizes"] == [256, 1024]
    assert records["members"] == 2


def images(records: Records) -> None:
    # Of Tetrominoes, which are on every machine, through the way that a reader's own images take.
    trained(records)
    assert records["finite"]
    assert records["identity_residual"] < 1e-6
    # All images are in the bound here, so that it is above the ELBO up to the noise of the latents.
    assert records["weighted_bound_above_elbo"] > 0
    assert records["settings"] == 2
    assert records["contrasts"] == 4 * records["settings"]
    assert records["members"] == 4


def dynamics(records: Records) -> None:
    trained(records)
    assert records["finite"]
    assert records["identity_residual"] < 1e-6
    assert records["information_above_ceiling_in_se"] < 4
    assert records["steps_recorded"] == 5
    assert records["paths"] == 4
    assert records["smallest_rise_from_the_lowest"] >= 0


def status(records: Records) -> None:
    assert records["studies"] == len(CATALOG)
    assert 1 <= records["with_result"] <= records["studies"]
    assert records["at_full_scale"] <= records["with_result"]
    assert 0 < records["largest_share"] <= 1
    assert records["provenance_complete"]


def rerun_yourself(records: Records) -> None:
    trained(records)
    assert records["members"] == 3
    assert records["found_again"]
    assert records["identity_residual"] < 1e-6


def live(records: Records) -> None:
    trained(records)
    assert records["identity_residual"] < 1e-6
    assert records["information_above_ceiling_in_se"] < 4
    assert records["steps_looked_at"] > 10


def your_data(records: Records) -> None:
    trained(records)
    assert records["identity_residual"] < 1e-6
    assert records["members"] == 8
    # One for each of two networks.
    assert records["contrasts"] == 2
    assert records["own_identity_residual"] < 1e-6
    assert records["figures"] == 8
    assert 0.1 < records["megabytes"] < 3
    assert records["digest_is_in_the_page"]


def scaling_out(records: Records) -> None:
    # Of the published measurements, all predicted; how far off is a finding, beyond these bounds the model has failed.
    assert records["points"] > 20
    assert 1 <= records["median_factor_off"] < 2
    assert records["worst_factor_off"] < 10
    assert 0 < records["predicted_seconds"] < math.inf
    assert 1 <= records["members_together"] <= records["members"] == 6
    assert records["merging_error"] < 1e-4


OF_THEIR_NAME = (
    rate_distortion,
    mutual_information,
    aggregate_posterior,
    measuring,
    linear_vae,
    tetrominoes,
    capacity,
    difficulty,
    saturation,
    ledger,
    images,
    dynamics,
    status,
    live,
    scaling_out,
    your_data,
)
CHECKS: dict[str, Callable[[Records], None]] = {check.__name__: check for check in OF_THEIR_NAME}
CHECKS["rerun"] = rerun_yourself


@functools.cache
def executed(name: str) -> tuple[Records, list[Path]]:
    """Return a chapter's records, and the results that it trained, in a cache of its own."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as environment:
        environment.setenv("RATEREG_CACHE", folder)
        environment.delenv("RATEREG_BUILDING_SITE", raising=False)
        output = rerun(NOTEBOOKS / f"{name}.md", REDUCED.get(name, {}), Path(folder, "executed.ipynb"))
        cells = json.loads(output.read_text())["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        found = [output["data"][RECORD] for output in outputs if RECORD in output.get("data", {})]
        return {one["name"]: one["value"] for one in found}, list(Path(folder).glob("**/provenance.json"))


@pytest.mark.parametrize("name", NAMES)
def test_a_chapter_has_parameters_and_a_check(name: str) -> None:
    assert parameters_of(NOTEBOOKS / f"{name}.md")
    assert name in CHECKS


def test_only_parameters_that_there_are_are_turned_down() -> None:
    for name, settings in REDUCED.items():
        assert set(settings) <= set(parameters_of(NOTEBOOKS / f"{name}.md")), name


@pytest.mark.parametrize("name", NAMES)
def test_a_chapter_runs_and_its_numbers_hold(name: str) -> None:
    records, _ = executed(name)
    assert records
    CHECKS[name](records)


RUN_STUDIES = [name for name in NAMES if "load_or_run" in (NOTEBOOKS / f"{name}.md").read_text()]


@pytest.mark.parametrize("name", [name for name in RUN_STUDIES if "steps" in REDUCED.get(name, {})])
def test_a_chapter_with_other_settings_trains(name: str) -> None:
    _, results = executed(name)
    assert results
