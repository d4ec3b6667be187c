"""Settings of the local server, compared."""

import pytest

from mite_tf.errors import MiteError
from mite_tf.serving.loadtest import sweep_batching
from mite_tf.serving.loadtest.batching_file import write_batching
from mite_tf.serving.server import read_batching


def test_each_setting_is_served_and_measured(export_folder, tmp_path):
    found = sweep_batching(
        export_folder,
        sizes=(1, 8),
        threads=(1,),
        clients=8,
        seconds=0.7,
        warmup=0.3,
        rounds=1,
        quiet=True,
    )
    one, eight = found.trials
    assert (one.batching.max_batch_size, eight.batching.max_batch_size) == (1, 8)
    assert one.error_rate == eight.error_rate == 0
    # The server's own count of rows in a batch shows that it runs with the setting.
    assert one.rows_per_batch == 1
    assert 1 <= eight.rows_per_batch <= 8
    assert found.best.throughput == max(one.throughput, eight.throughput) > 0
    write_batching(tmp_path / "best.config", found.best.batching)
    assert read_batching(tmp_path / "best.config") == found.best.batching
    found.write_json(tmp_path / "sweep.json")


def test_export_that_cannot_be_served_is_told(tmp_path, capfd):
    with pytest.raises(MiteError, match="the server did not start; what it printed tells why"):
        sweep_batching(tmp_path, sizes=(1,), quiet=True)
    assert "holds no manifest.json" in capfd.readouterr().err
