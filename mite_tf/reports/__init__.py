"""What a person looks at: tables, plots, pages, contact sheets."""

from mite_tf.reports.contact_sheet import write_contact_sheet
from mite_tf.reports.history_plot import plot_history
from mite_tf.reports.near_miss_plot import plot_near_misses
from mite_tf.reports.plots import plot_modalities, plot_recall, plot_similarities
from mite_tf.reports.report import SearchExample, write_report
from mite_tf.reports.table import print_table

__all__ = [
    "SearchExample",
    "plot_history",
    "plot_modalities",
    "plot_near_misses",
    "plot_recall",
    "plot_similarities",
    "print_table",
    "write_contact_sheet",
    "write_report",
]
