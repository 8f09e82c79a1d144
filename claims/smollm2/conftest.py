"""Which heads are which: picked on other sequences and prompts than those they are judged on."""

from types import SimpleNamespace

import pytest

from mechanistic_claims import head, whole_groups

COUNT = 8
"""So many are picked: the eighth matches twice as much as the median head of the layers around."""
BETWEEN, MOVERS, LAYERS = 17, 23, 30
"""Layers: previous-token heads are looked for before the first, induction heads from it on, and
S-inhibition heads before the second, that of the name movers.
"""


def together(places):
    """Heads, by (layer, index), as one component."""
    return sum(head(*place) for place in places)


@pytest.fixture(scope="session")
def heads(task, activations):
    """The induction heads, and two that attend to the previous token, the stronger one first."""
    others = task.others
    there = activations.on(others)
    places = task.strongest(there.by_head(others.prefix_matching), COUNT, range(BETWEEN, LAYERS))
    first = min(layer for layer, _ in places)
    previous, rival = task.strongest(there.by_head(others.previous_token), 2, range(BETWEEN))
    return SimpleNamespace(
        places=places,
        strongest=head(*places[0]),
        together=together(places),
        earliest=together([place for place in places if place[0] == first]),
        later=together([place for place in places if place[0] != first] or places[:1]),
        previous_token=head(*previous),
        rival=head(*rival),
    )


@pytest.fixture(scope="session")
def matching(task, activations):
    """The prefix matching of every head on each of many sequences."""
    return activations.on(task.many).by_head(task.prefix_matching)


@pytest.fixture(scope="session")
def readers(heads, weights):
    """The eight, and all heads that have their keys and values in common with one of them."""
    return whole_groups(heads.together, weights)


@pytest.fixture(scope="session")
def target_lost(task, heads, activations):
    """`target_lost(edited)`: by how much the eight match the prefix less, on each sequence."""

    def matched(by):
        of_heads = by.by_head(task.prefix_matching)
        return sum(of_heads[:, layer, index] for layer, index in heads.places) / COUNT

    return lambda edited: matched(activations) - matched(edited)


@pytest.fixture(scope="session")
def unembedding(weights):
    """`unembedding(tokens)`: columns of W_U, after the gain of the norm before it."""
    gain = weights["model.norm.weight"]
    return lambda tokens: (weights.W_U[:, tokens].movedim(0, -1) * gain).movedim(-1, 0)


@pytest.fixture(scope="session")
def copying(task, activations, heads, unembedding):
    """Of the earliest induction heads, and of the later ones, how often each copies a token."""

    many = task.many
    there = activations.on(many)

    def copied(some):
        each = there.value_outputs(some)
        return [there.of_inputs(many.copied(one, unembedding)) for one in each]

    return {some: copied(some) for some in (heads.earliest, heads.later)}


@pytest.fixture(scope="session")
def copying_scores(heads, weights):
    """Of each of the eight Σ λ / Σ |λ|, λ of its W_E W_V W_O W_U."""
    import torch

    def score(layer, index):
        between = weights.W_O[layer, index] @ weights.W_U @ weights.W_E @ weights.W_V[layer, index]
        eigenvalues = torch.linalg.eigvals(between)
        return float(eigenvalues.sum().real / eigenvalues.abs().sum())

    return [score(*place) for place in heads.places]


@pytest.fixture(scope="session")
def prompts(task):
    """Prompts that ask for an indirect object."""
    return task.prompts


@pytest.fixture(scope="session")
def answers(activations, prompts):
    """What the model does on these prompts."""
    return activations.on(prompts)


@pytest.fixture(scope="session")
def edit(intervene, prompts):
    """Ablations and patches on these prompts."""
    return intervene.on(prompts)


@pytest.fixture(scope="session")
def movers(task, activations, unembedding):
    """Heads of indirect objects, picked by what they attend to and write on other prompts.

    Name movers are the four that write most of the name asked for among the 16 that attend to it
    most. The head against the subject, and the one against the answer, write least of either.
    """
    others = task.other_prompts
    there = activations.on(others)
    attending = task.strongest(there.by_head(others.end_to_object), 16)
    of_answer = there.written_along(unembedding(others.labels).T)
    of_subject = there.written_along(unembedding(others.subject).T)
    by_writing = task.strongest(of_answer, of_answer[0].numel())
    to_subject = task.strongest(there.by_head(others.end_to_subject), 2, range(MOVERS))
    places = [place for place in by_writing if place in attending][:4]
    return SimpleNamespace(
        places=places,
        together=together(places),
        against_subject=head(*task.strongest(-of_subject, 1)[0]),
        against_answer=head(*by_writing[-1]),
        inhibitors=together(to_subject),
        duplicates=together(task.strongest(there.by_head(others.subject_to_itself), 6)),
    )
