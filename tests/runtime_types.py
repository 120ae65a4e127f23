"""The type checker that the tests run the package under."""

from beartype import BeartypeConf, beartype

# As in static checking, an int may stand where a float is asked for.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
