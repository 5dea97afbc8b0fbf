"""What the class signal promises: a known likelihood, and classes that are neither trivial nor hopeless."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from so2sat_hf import facts
from so2sat_hf.errors import So2SatError
from so2sat_hf.synthetic import patches, posterior, statistics
from so2sat_hf.synthetic.moments import law


@pytest.fixture(scope="module")
def few():
    return patches("test", 64, seed=3)


def accuracy(probability, label):
    return (probability.argmax(axis=1) == label).mean()


def test_pixels_show_the_statistics_they_were_made_from(test):
    """All 23 are read back to a small part of their spread; only the rounding of sen2 is in the way."""
    error = np.abs(test.seen - test.drawn) / np.sqrt(law().covariance.diagonal())

    assert error.mean() < 0.002
    assert (error > 0.1).any(axis=1).mean() < 0.005


def test_the_ideal_classifier_is_right_in_four_of_five_patches(test):
    """In cities it has never seen."""
    assert 0.70 <= accuracy(test.ideal, test.label) <= 0.90


def test_the_ideal_classifier_knows_how_often_it_is_right(test):
    """Its mean confidence is its accuracy, overall and where it is unsure: the likelihood is the true one."""
    confidence, right = test.ideal.max(axis=1), test.ideal.argmax(axis=1) == test.label
    unsure = confidence < 0.8

    assert abs(confidence.mean() - right.mean()) < 0.02
    assert abs(confidence[unsure].mean() - right[unsure].mean()) < 0.04


def test_band_means_are_not_enough(both_splits):
    """A linear model of the 18 band means stays ten points and more below the ideal."""
    train, test = both_splits
    scaler = StandardScaler().fit(train.means)
    model = LogisticRegression(max_iter=3000).fit(scaler.transform(train.means), train.label)

    linear = model.score(scaler.transform(test.means), test.label)

    assert linear > 0.40
    assert linear < accuracy(test.ideal, test.label) - 0.10


def test_both_sensors_matter(test):
    """Without S1 the ideal loses three points and more; with S1 alone it still beats chance by far."""
    assert accuracy(test.by_sen2, test.label) < accuracy(test.ideal, test.label) - 0.03
    assert accuracy(test.by_sen1, test.label) > 0.25
    assert accuracy(test.by_sen1, test.label) > 2 * np.bincount(test.label).max() / len(test.label)


def test_flips_and_quarter_turns_change_nothing(few):
    """Whoever augments with them keeps the class."""
    expected = posterior(few.sen1, few.sen2)

    for change in (lambda x: x[:, ::-1], lambda x: x[:, :, ::-1], lambda x: np.rot90(x, axes=(1, 2))):
        np.testing.assert_allclose(posterior(change(few.sen1), change(few.sen2)), expected, atol=1e-4)


def test_both_layouts_and_dtypes_are_read(few):
    """Published files have channels last in float64, stored patches channels first in float32."""
    sen1, sen2 = (np.moveaxis(x, 3, 1).astype(np.float32) for x in (few.sen1, few.sen2))

    np.testing.assert_allclose(posterior(sen1, sen2), posterior(few.sen1, few.sen2), atol=1e-4)


def test_one_outlier_does_not_change_the_verdict(few):
    """A corner reflector is left out of the statistics, as it says nothing about the class."""
    sen1, sen2 = few.sen1.copy(), few.sen2.copy()
    sen1[:, 5, 7, 4:6] = 10_000
    sen2[:, 5, 7] = 2.8

    change = np.abs(statistics(sen1, sen2) - statistics(few.sen1, few.sen2))

    assert (change / np.sqrt(law().covariance.diagonal())).mean() < 0.02


def test_probabilities_follow_the_prior(few):
    """Rows sum to 1, and a class that cannot occur gets nothing."""
    prior = np.array(facts.class_counts("training"))
    prior[16] = 0

    probability = posterior(few.sen1, few.sen2, prior=prior)

    assert probability.shape == (64, 17)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert not probability[:, 16].any()


def test_statistics_of_no_patches_are_empty():
    """Nothing in, nothing out."""
    assert posterior(np.empty((0, 32, 32, 8)), np.empty((0, 32, 32, 10))).shape == (0, 17)


@pytest.mark.parametrize(
    ("sen1", "sen2", "message"),
    [
        (None, None, "neither sen1 nor sen2"),
        (np.ones((2, 32, 32, 10)), None, r"sen1: shape \(2, 32, 32, 10\)"),
        (None, np.ones((32, 32, 10)), r"sen2: shape \(32, 32, 10\)"),
    ],
)
def test_other_shapes_are_refused(sen1, sen2, message):
    """The message names the array and its shape."""
    with pytest.raises(So2SatError, match=message):
        posterior(sen1, sen2)


def test_the_signature_names_the_17_classes_and_all_bands():
    """The table of looks is in label order, and its columns are the published bands."""
    from importlib.resources import files

    head, *rows = (files("so2sat_hf.synthetic") / "signature.csv").read_text(encoding="utf-8").splitlines()

    assert [row.split(",")[0] for row in rows] == [lcz.code for lcz in facts.classes()]
    assert head.split(",")[1:11] == [band.name for band in facts.bands("sen2")]
