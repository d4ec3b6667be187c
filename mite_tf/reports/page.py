"""Self-contained HTML pages from the templates that lie beside the code."""

from pathlib import Path
from typing import Any

from mite_tf.files import write_text


def write_page(path: str | Path, template: str, **context: Any) -> None:
    """Fills a template and writes the page, whole or not at all.

    Values are escaped for HTML.

    Args:
        path: File to write.
        package: Dotted name of the package that holds the template; templates of
            `mite_tf.retrieval`, such as `page.html`, are found too.
        template: File name of the template.
        **context: Values by the names that the template uses.

    Raises:
        jinja2.UndefinedError: If `context` lacks a name.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mite_tf.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_text(path, environment.get_template(template).render(context))
