import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# While the tests run, the shapes and types of tensors are checked at every call, on the floors that have them.
install_import_hook(
    ["ratereg.data", "ratereg.models", "ratereg.training", "ratereg.evaluation", "ratereg.studies.shard"],
    "runtime_types.check",
)

# What a shell runs in its background ignores Ctrl-C, and so would the processes that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SITE = Path(__file__).parent / "site"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what is tested together together when processes share the tests: a file, and all that asks for the site."""
    for item in items:
        group = "site" if item.path.is_relative_to(SITE) else item.path.as_posix()
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `ratereg` with the arguments given, and return its exit code."""
    # When first asked for: the hook above comes before the package.
    from ratereg import cli

    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["ratereg", *arguments])
        try:
            cli.main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return run
