from jaxtyping import install_import_hook

# While the tests run, the shapes and types of tensors are checked at every call, on the floors that have them.
install_import_hook(
    ["ratereg.data", "ratereg.models", "ratereg.training", "ratereg.evaluation", "ratereg.studies.shard"],
    "runtime_types.check",
)
