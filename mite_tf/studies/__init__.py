"""Studies: variants of a configuration, trained with several seeds and compared."""

from mite_tf.extras import from_extra

with from_extra("tensorflow", "mite_tf.studies"):
    from mite_tf.studies.measurement import Measurement
    from mite_tf.studies.study import study
    from mite_tf.studies.study_folder import StudyFolder
    from mite_tf.studies.variants import Variant, load_variants

__all__ = ["Measurement", "StudyFolder", "Variant", "load_variants", "study"]
