"""Good clients of a server with 1 GB and 1,024 files do not notice that it is attacked."""

import pytest

from tests.serving.certificates import write_certificates
from tests.serving.hostile.attackers import ATTACKS
from tests.serving.hostile.good_clients import CAPTIONS
from tests.serving.hostile.siege import besiege, problems
from tests.serving.stubs import images


@pytest.fixture(scope="module")
def asked(export):
    """What good clients send, and what they are to get."""
    files = [images()[name] for name in ("photo.jpg", "photo.png", "alpha.webp", "animated.gif")]
    inputs = {"text": [each.encode() for each in CAPTIONS], "image": files}
    return inputs, [{"text": export.keras.text(CAPTIONS), "image": export.keras.images(files)}]


@pytest.mark.slow
def test_in_every_way_at_once(export, asked, tmp_path):
    counted = besiege(export.path, tmp_path, *asked, seconds=8)
    assert problems(counted) == [], counted


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_in_one_way(export, asked, tmp_path, name):
    counted = besiege(export.path, tmp_path, *asked, seconds=20, attacks=[name])
    assert problems(counted) == [], counted


@pytest.mark.slow
def test_handshakes_that_do_not_end(export, asked, tmp_path):
    tls = write_certificates(tmp_path, "localhost")
    attacks = ["silent", "half_sent", "frames"]
    counted = besiege(export.path, tmp_path, *asked, seconds=20, attacks=attacks, tls=tls)
    assert problems(counted) == [], counted


@pytest.mark.slow
def test_for_minutes(export, asked, tmp_path):
    counted = besiege(export.path, tmp_path, *asked, seconds=300)
    assert problems(counted) == [], counted
