"""Clusters and survivors against brute force, and their independence of any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firn.data.clusters import RULES, Nodes, components, judge

PAIRS = st.integers(1, 30).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=40))
)


def pairs(of: list[tuple[int, int]]) -> np.ndarray:
    return np.array(of, np.int64).reshape(-1, 2)


def by_search(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """Labels by walking from every node."""
    neighbours: dict[int, set[int]] = {n: {n} for n in range(count)}
    for a, b in edges:
        neighbours[a].add(b)
        neighbours[b].add(a)
    labels = []
    for node in range(count):
        reached, todo = {node}, [node]
        while todo:
            fresh = neighbours[todo.pop()] - reached
            reached |= fresh
            todo.extend(fresh)
        labels.append(min(reached))
    return labels


@settings(max_examples=300, deadline=None, derandomize=True)
@given(PAIRS)
def test_components_are_those_of_a_search(case: tuple[int, list[tuple[int, int]]]) -> None:
    count, edges = case
    assert components(count, pairs(edges)).tolist() == by_search(count, edges)


def test_a_long_chain_in_a_bad_order() -> None:
    chain = [(n, n + 1) for n in range(5_000)]
    for edges in (chain, chain[::-1], chain[::2] + chain[1::2]):
        assert set(components(5_001, pairs(edges)).tolist()) == {0}


def made(rng: np.random.Generator, count: int) -> Nodes:
    """Documents with many ties in everything but shard and row."""
    return Nodes(
        shard=rng.integers(0, 3, count).astype(np.uint64),
        row=np.arange(count, dtype=np.int32),
        id=rng.integers(0, 4, (count, 2)).astype(np.uint64),
        validation=rng.random(count) < 0.2,
        size=rng.integers(0, 3, count),
        published=rng.integers(0, 2, count),
        copies=rng.integers(1, 5, count).astype(np.int32),
    )


def permuted(nodes: Nodes, order: np.ndarray) -> Nodes:
    return Nodes(*(getattr(nodes, name)[order] for name in Nodes.__dataclass_fields__))


@pytest.mark.parametrize("seed", range(20))
def test_verdicts_do_not_depend_on_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 40
    nodes, exact, near = made(rng, count), rng.integers(0, count, (8, 2)), rng.integers(0, count, (15, 2))
    verdicts = judge(nodes, exact, near)
    order = rng.permutation(count)
    place = np.argsort(order)
    again = judge(permuted(nodes, order), rng.permutation(place[exact]), rng.permutation(place[near])[:, ::-1])
    assert order[again.survivor].tolist() == verdicts.survivor[order].tolist()
    assert again.copies.tolist() == verdicts.copies[order].tolist()
    goes = verdicts.copies[order] == 0
    assert again.rule[goes].tolist() == verdicts.rule[order][goes].tolist()


@pytest.mark.parametrize("seed", range(20))
def test_the_survivor_is_the_first_by_the_stated_order(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    count = 30
    nodes, exact, near = made(rng, count), rng.integers(0, count, (5, 2)), rng.integers(0, count, (12, 2))
    verdicts = judge(nodes, exact, near)
    labels = by_search(count, [(int(a), int(b)) for a, b in np.concatenate([exact, near])])
    same = by_search(count, [(int(a), int(b)) for a, b in exact])
    for node in range(count):
        cluster = [n for n in range(count) if labels[n] == labels[node]]

        def preference(n: int) -> tuple[object, ...]:
            id_ = tuple(nodes.id[n].tolist())
            return (not nodes.validation[n], -nodes.size[n], nodes.published[n], id_, nodes.shard[n], nodes.row[n])

        best = min(cluster, key=preference)
        assert verdicts.survivor[node] == best
        assert verdicts.copies[node] == (sum(nodes.copies[n] for n in cluster) if node == best else 0)
        if node != best:
            held_out = nodes.validation[best] and not nodes.validation[node]
            expected = "near_validation" if held_out else "exact" if same[node] == same[best] else "minhash"
            assert RULES[verdicts.rule[node]] == expected
            assert not (nodes.validation[node] and not nodes.validation[best])  # never the reverse
    assert verdicts.copies.sum() == nodes.copies.sum()


def test_no_nodes() -> None:
    nothing = Nodes(
        *(np.empty(0, t) for t in (np.uint64, np.int32)),
        np.empty((0, 2), np.uint64),
        *(np.empty(0, t) for t in (bool, np.int64, np.int64, np.int32)),
    )
    assert judge(nothing, pairs([]), pairs([])).copies.size == 0
