from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# While the tests run, the shapes and types of tensors are checked at every call, on the floors that have them.
install_import_hook(
    ["ratereg.data", "ratereg.models", "ratereg.training", "ratereg.evaluation", "ratereg.studies.shard"],
    "runtime_types.check",
)


SITE = Path(__file__).parent / "site"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what is tested together together when processes share the tests: a file, and all that asks for the site."""
    for item in items:
        group = "site" if item.path.is_relative_to(SITE) else item.path.as_posix()
        item.add_marker(pytest.mark.xdist_group(group))
