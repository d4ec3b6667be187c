"""Runs `python -m mite_tf.cli`."""

import sys

from mite_tf.cli import main

sys.exit(main())
