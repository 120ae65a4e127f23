"""Execute the report's notebook by papermill, and export it by nbconvert to one HTML file that needs no network."""

import importlib
from pathlib import Path

from ratereg.report.findings import title
from ratereg.storage import cache_directory, check_writable
from ratereg.storage.atomic import folder_beside
from ratereg.studies import Results

__all__ = ["NOTEBOOK", "checked_output", "write_report"]

NOTEBOOK = Path(__file__).with_name("report.md")
"""The notebook that every report is made by."""


def write_report(results: Results, output: str | Path, *, command: str = "", replace: bool = False) -> Path:
    """Write the rate-distortion report of results as one HTML file, and the executed notebook beside it.

    The page needs no other file, no script and no network. Both files are written atomically.

    Arguments:
        results: of any study, for example `ratereg.load_or_run(plan.study)`.
        output: the .html file; the notebook has the same name, with the ending .ipynb.
        command: what was typed to make the report, to be shown in it.
        replace: whether files that exist may be replaced.

    Returns:
        the path of the page.

    Raises:
        ModuleNotFoundError: a library of the extra `book` is missing.
        StorageError: the files can't be written.
        ValueError: `output` exists and `replace` is False, or its name does not end in .html.
    """
    output = checked_output(output, replace=replace)
    import jupytext
    import papermill
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import TagRemovePreprocessor

    saved = results.save(cache_directory() / "reports" / results.study.digest)
    parameters = {"settings": results.study.settings, "folder": str(saved.directory), "command": command}
    with folder_beside(output) as folder:
        notebook, page = folder / "report.ipynb", folder / "report.html"
        node = papermill.execute_notebook(
            jupytext.read(NOTEBOOK),
            str(notebook),
            parameters,
            progress_bar=False,
            # What the kernel says of itself in the terminal.
            extra_arguments=["--IPKernelApp.log_level=50"],
        )
        exporter = HTMLExporter(template_name="template", extra_template_basedirs=[str(NOTEBOOK.parent)])
        exporter.register_preprocessor(TagRemovePreprocessor(remove_cell_tags={"parameters"}), enabled=True)
        about = {"metadata": {"name": title(results)}, "notebook": output.with_suffix(".ipynb").name}
        page.write_text(exporter.from_notebook_node(node, about)[0], encoding="utf-8")
        notebook.replace(output.with_suffix(".ipynb"))
        page.replace(output)
    return output


def checked_output(output: str | Path, *, replace: bool = False) -> Path:
    """Return the path of a report that can be written there; meant to be called before anything is trained.

    Raises:
        ModuleNotFoundError: a library of the extra `book` is missing.
        StorageError: the folder can't be created or written to.
        ValueError: as `write_report`.
    """
    for name in ("papermill", "nbconvert", "jupytext", "ipykernel"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"report: {error}; pip install 'ratereg[book]' adds it.", name=name) from None
    output = Path(output).expanduser()
    if output.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"report: output is {str(output)!r}; give a file that ends in .html.")
    for path in (output, output.with_suffix(".ipynb")):
        if path.is_dir() or (path.exists() and not replace):
            what = "a folder" if path.is_dir() else "there already"
            raise ValueError(
                f"report: output {str(path)!r} is {what}; give another name, or --force (replace=True) for a file."
            )
    check_writable(output.absolute().parent)
    return output
