"""Sets are drawn from the right pools, and can be drawn again."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cytoripple as ct
from cytoripple._errors import FileError, InputError
from cytoripple.vc.sampling import GroupIndex, Sets, SetSampler, eval_slice


@pytest.fixture(scope="module")
def obs():
    return ct.datasets.simulate_screen(45, 5, 17, 20, n_ct=2, n_batch=2, seed=4).adata.obs


@pytest.fixture(scope="module")
def index(obs):
    return GroupIndex.from_obs(obs)


def everything(sampler, epoch=0):
    return list(sampler.epoch(epoch))


@settings(max_examples=25, deadline=None)
@given(
    S=st.integers(1, 12),
    short=st.sampled_from(["skip", "resample"]),
    controls=st.sampled_from(["batch", "cell_type"]),
    target=st.sampled_from(["identity", "resample"]),
    seed=st.integers(0, 99),
)
def test_cells_come_from_their_group_and_controls_from_its_pool(obs, index, S, short, controls, target, seed):
    try:
        sampler = SetSampler(
            index, S, batch_size=3, short=short, controls=controls, control_target=target, seed=seed
        )
    except InputError:
        assert short == "skip"
        return
    keys = obs[["cell_type", "batch", "target_gene"]].astype(str).to_numpy()
    for sets in everything(sampler):
        for b, g in enumerate(sets.group):
            _, cell_type, batch, label = index.keys[g]
            wide = keys[sets.ctrl[b]]
            assert set(wide[:, 2]) == {"non-targeting"}
            assert set(wide[:, 0]) == {cell_type}
            if controls == "batch":
                assert set(wide[:, 1]) == {batch}
            assert sets.pert_id[b] == (-1 if label == "non-targeting" else index.perturbations.index(label))
            if label != "non-targeting" or target == "identity":
                assert (keys[sets.pert[b]] == [cell_type, batch, label]).all()
            if len(index.members[g]) >= S:
                assert len(set(sets.pert[b])) == S
            if label == "non-targeting" and target == "identity":
                np.testing.assert_array_equal(sets.pert[b], sets.ctrl[b])


def test_every_cell_of_a_usable_group_is_seen_once(index):
    sampler = SetSampler(index, 4, batch_size=5)
    assert sampler.skipped == ()
    sets = everything(sampler)
    assert len(sets) == len(sampler)
    seen = np.concatenate([one.pert.ravel() for one in sets])
    members = np.concatenate(index.members)
    assert set(seen) == set(members)
    assert len(seen) - len(members) < 4 * len(index.keys)


def test_draws_depend_on_their_place_only(index):
    sampler = SetSampler(index, 6, batch_size=4, seed=3, short="resample")
    whole = everything(sampler, 2)
    again = list(SetSampler(index, 6, batch_size=4, seed=3, short="resample").epoch(2, start=3))
    for first, second in zip(whole[3:], again, strict=True):
        for name in ("ctrl", "pert", "pert_id", "group"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    np.testing.assert_array_equal(sampler.step(2, 5).ctrl, whole[5].ctrl)
    assert any((a.ctrl != b.ctrl).any() for a, b in zip(whole, everything(sampler, 3), strict=True))
    other = SetSampler(index, 6, batch_size=4, seed=4, short="resample")
    assert any((a.ctrl != b.ctrl).any() for a, b in zip(whole, everything(other, 2), strict=True))


def test_small_groups_are_skipped_or_resampled(obs):
    few = obs.assign(target_gene=obs["target_gene"].astype(str))
    rare = few.index[few["target_gene"] == few["target_gene"].iloc[0]][3:]
    index = GroupIndex.from_obs(few.drop(index=rare))
    skipping = SetSampler(index, 8)
    assert skipping.skipped
    assert len(SetSampler(index, 8, short="resample").groups) == len(index.keys)
    with pytest.raises(InputError, match="short='resample'"):
        SetSampler(index, 500)


def test_a_batch_without_controls_uses_the_cell_type(obs):
    part = obs[~((obs["batch"] == "batch1") & (obs["target_gene"] == "non-targeting"))]
    index = GroupIndex.from_obs(part)
    sets = everything(SetSampler(index, 3, short="resample"))
    assert {index.keys[g][2] for one in sets for g in one.group} == {"batch1", "batch2"}
    sets = everything(SetSampler(index, 3, short="skip"))
    assert {index.keys[g][2] for one in sets for g in one.group} == {"batch2"}
    assert len(eval_slice(index, 3).group) == sum(key[3] != "non-targeting" for key in index.keys)


def test_resampled_control_targets_are_other_cells(index):
    sampler = SetSampler(index, 6, control_target="resample", controls="cell_type")
    for sets in everything(sampler):
        for b in np.flatnonzero(sets.pert_id < 0):
            assert not set(sets.ctrl[b]) & set(sets.pert[b])


def test_evaluation_slices_are_fixed(obs, index, tmp_path):
    first, second = eval_slice(index, 5, 7, 2), eval_slice(index, 5, 7, 2)
    first.save(tmp_path / "slice.npz")
    for other in (second, Sets.load(tmp_path / "slice.npz")):
        for name in ("ctrl", "pert", "pert_id", "group"):
            np.testing.assert_array_equal(getattr(first, name), getattr(other, name))
    assert first.pert.shape == (2 * sum(key[3] != "non-targeting" for key in index.keys), 5)
    assert (eval_slice(index, 5, 8, 2).pert != first.pert).any()
    label = index.keys[0][3] if index.keys[0][3] != "non-targeting" else index.keys[1][3]
    part = eval_slice(
        GroupIndex.from_obs(obs, cells=obs["target_gene"].isin([label, "non-targeting"])), 5, 7, 2
    )
    same = [g for g in first.group if index.keys[g][3] == label]
    np.testing.assert_array_equal(part.pert, first.pert[np.isin(first.group, same)])
    (tmp_path / "bad.npz").write_bytes(b"PK")
    with pytest.raises(FileError, match="cannot be read"):
        Sets.load(tmp_path / "bad.npz")


def test_wrong_arguments(obs, index):
    for wrong in (
        {"S": 0},
        {"batch_size": 0},
        {"controls": "donor"},
        {"short": "cut"},
        {"control_target": "x"},
    ):
        with pytest.raises(InputError, match=next(iter(wrong))):
            SetSampler(index, **{"S": 3} | wrong)
    with pytest.raises(InputError, match="no cell has the control label 'ntc'"):
        GroupIndex.from_obs(obs, control="ntc")
    with pytest.raises(InputError, match="no column 'target_gene'"):
        GroupIndex.from_obs(pd.DataFrame({"gene": ["a"]}))
    with pytest.raises(InputError, match="one entry per cell"):
        GroupIndex.from_obs(obs, cells=[True])
    with pytest.raises(InputError, match="steps"):
        SetSampler(index, 3).step(0, 10**6)
    with pytest.raises(InputError, match="at least 1"):
        eval_slice(index, 0)
