"""Self-contained HTML pages from the templates that lie beside the code."""

from pathlib import Path
from typing import Any

from mite_tf.files import write_text


def write_page(path: str | Path, package: str, template: str, **context: Any) -> None:
    """Fills a template and writes the page, whole or not at all.

    Values are escaped for HTML.

    Args:
        path: File to write.
        package: Dotted name of the package that holds the template; templates of
            `mite_tf.search`, such as `page.html`, are found too.
        template: File name of the template.
        **context: Values by the names that the template uses.

    Raises:
        jinja2.UndefinedError: If `context` lacks a name.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name, ".") for name in (package, "mite_tf.search")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_text(path, environment.get_template(template).render(context))
