import signal
from collections.abc import Callable
from typing import Any

import pytest
from jaxtyping import install_import_hook
from xdist.scheduler import LoadScopeScheduling

# While the tests run, the shapes and types of tensors are checked at every call, on the floors that have them.
install_import_hook(
    ["ratereg.data", "ratereg.models", "ratereg.training", "ratereg.evaluation", "ratereg.measurements"],
    "runtime_types.check",
)

# What a shell runs in its background ignores Ctrl-C, and so would the processes that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Keep what is tested together together when processes share the tests: a file, and all that asks for the site."""
    return Together(config, log)


class Together(LoadScopeScheduling):
    # By paths, and not by the groups of `--dist loadgroup`, which pytest-xdist 3.8 forgets under pytest 9.2.
    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "site" if path.startswith("tests/site/") else path


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
