"""What a report calls its settings: by the network alone where there is one data set."""

from collections.abc import Callable

import pandas as pd

from ratereg.summary import DATA, data_label, groups, network_label

__all__ = ["namer"]


def namer(table: pd.DataFrame) -> Callable[[pd.DataFrame], str]:
    """Return the function that names the setting of some rows' first one, among those of a table."""
    alone = len(groups(table, DATA)) == 1

    def name(rows: pd.DataFrame) -> str:
        network = network_label(rows)
        return network if alone else f"{data_label(rows, short=True)}: {network}"

    return name
