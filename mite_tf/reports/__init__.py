"""What a person looks at: tables, plots, pages, contact sheets."""

from mite_tf.reports.contact_sheet import SearchExample, SideBySide, write_contact_sheet
from mite_tf.reports.evaluation_plots import (
    plot_modalities,
    plot_near_misses,
    plot_recall,
    plot_similarities,
)
from mite_tf.reports.evaluation_report import print_table, write_report
from mite_tf.reports.history_plots import plot_courses, plot_history
from mite_tf.reports.protocol_report import plot_shares, protocol_table, write_protocol_report

__all__ = [
    "SearchExample",
    "SideBySide",
    "plot_courses",
    "plot_history",
    "plot_modalities",
    "plot_near_misses",
    "plot_recall",
    "plot_shares",
    "plot_similarities",
    "print_table",
    "protocol_table",
    "write_contact_sheet",
    "write_protocol_report",
    "write_report",
]
