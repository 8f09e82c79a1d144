"""Ablations, patches and cuts of every component, against a plain forward pass changed by hand."""

from __future__ import annotations

import pytest
import torch

from mechanistic_claims.measurement.cases import draws_of, plain
from mechanistic_claims.model.components import embedding, head, logits, mlp, neurons, positions
from tests.plain_transformer import LOGITS, POSITIONS, TOKENS, Kind, Plain, Questions

KINDS = {
    "attention": Kind(),
    "MLP": Kind(mlp="relu"),
    "MLP and LayerNorm": Kind(mlp="gelu", norm="LN"),
}
TASK = Questions()
HOWS = ("zero", "mean", "resample")
OF_ALL = {
    "embedding": embedding,
    "positions": positions,
    "a head": head(0, 1),
    "a head of the last layer": head(1, 0),
    "heads of both layers": head(0, 0) + head(1, 1),
    "heads of a layer": head(0, 0) + head(0, 1),
}
OF_MLPS = {
    "an mlp": mlp(0),
    "an mlp and a head": mlp(1) + head(0, 0),
    "all neurons": neurons(1),
    "three neurons": neurons(0, 1, 3, 9),
    "neurons of both layers": neurons(0, 2) + neurons(1, 0, 5),
}
QUERIES, KEYS, VALUES = head(1, 0).queries, head(1, 1).keys, (head(1, 0) + head(1, 1)).values
EDGES = {
    "embedding to queries": (embedding, QUERIES),
    "embedding to keys of the first layer": (embedding, head(0, 1).keys),
    "positions to values of two heads": (positions, VALUES),
    "head to keys": (head(0, 1), KEYS),
    "heads to keys of two heads": (head(0, 0) + head(0, 1), (head(1, 0) + head(1, 1)).keys),
    "head to queries": (head(0, 0), QUERIES),
    "head to values": (head(0, 0), head(1, 1).values),
    "head to logits": (head(0, 1), logits),
    "all that writes first to logits": (embedding + positions + head(0, 0), logits),
    "last heads to logits": (head(1, 0) + head(1, 1), logits),
}
EDGES_OF_MLPS = {
    "mlp to keys": (mlp(0), KEYS),
    "head to the mlp after it": (head(0, 1), mlp(0)),
    "head to the last mlp": (head(0, 0), mlp(1)),
    "neurons to the last mlp": (neurons(0, 4, 5), mlp(1)),
    "mlp and embedding to values": (mlp(0) + embedding, VALUES),
    "mlps to logits": (mlp(0) + mlp(1), logits),
    "all neurons to logits": (neurons(1), logits),
}


def of_kinds(everywhere, of_mlps, kinds=KINDS):
    """Each model with each thing that it has."""
    return [
        pytest.param(KINDS[name], what, id=f"{name}: {of}")
        for name in kinds
        for of, what in (everywhere | (of_mlps if KINDS[name].mlp else {})).items()
    ]


of_two_kinds = of_kinds(OF_ALL, OF_MLPS, ("attention", "MLP and LayerNorm"))


@pytest.fixture(autouse=True)
def few_inputs_at_a_time(monkeypatch):
    """Thirteen of twenty: what is done a part at a time is put together rightly."""
    monkeypatch.setattr("mechanistic_claims.model.batches.TOKENS_AT_A_TIME", 13 * POSITIONS)


@pytest.fixture(scope="module")
def subjects():
    with torch.no_grad():
        return {kind: kind.subject(TASK) for kind in KINDS.values()}


def by_hand(kind, tokens=TASK.inputs, **changes):
    """A plain run with these changes."""
    run = Plain(kind, kind.weights(), tokens, **changes)
    assert run.logits.shape == (len(tokens), POSITIONS, LOGITS)
    return run


def at_answers(values):
    """Of values [input position ...] those of the cases."""
    return torch.stack([values[row, position] for row, position in TASK.answer_positions.tolist()])


def agrees(outcome, expected):
    """Both are the same."""
    assert (plain(outcome.logits) - at_answers(expected.logits)).abs().max() < 1e-9


def replaced(values, how):
    if how == "zero":
        return torch.zeros_like(values)
    if how == "mean":
        return values.mean(dim=0, keepdim=True).expand_as(values)
    return values[torch.randperm(len(values), generator=torch.Generator().manual_seed(0))]


def only_where_asked(new, old):
    """The new values at the answers, the old ones elsewhere."""
    made = old.clone()
    for row, position in TASK.answer_positions.tolist():
        made[row, position] = new[row, position]
    return made


def putting(parts, put):
    """By what is written where, what is there instead: `put` is given the place and the value."""

    def write(where, value):
        for part in parts:
            if where == place(part):
                chosen = list(part.which) or slice(None)
                value = value.clone()
                value[..., chosen] = put(where, value)[..., chosen]
        return value

    return write


def place(part):
    """Where the plain run writes it."""
    match part.kind:
        case "head":
            return ("head", part.layer, part.index)
        case "mlp" | "neurons":
            return (part.kind, part.layer)
    return part.kind


def written(kind, seen, component):
    """What components add to the residual stream."""
    total = 0
    for part in component.parts:
        value = seen[place(part)]
        if part.kind == "neurons":
            chosen = list(part.which) or slice(None)
            W_out = kind.weights()[f"blocks.{part.layer}.mlp.W_out"]
            value = value[..., chosen] @ W_out[chosen]
        total = total + value
    return total


@pytest.mark.parametrize("where", ["every position", "answers"])
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("kind", "component"), of_two_kinds)
def test_ablate(subjects, kind, component, how, where):
    seen = by_hand(kind).seen

    def put(there, value):
        new = replaced(seen[there], how)
        return new if where == "every position" else only_where_asked(new, value)

    outcome = subjects[kind].intervene.ablate(component, how, where)
    agrees(outcome, by_hand(kind, write=putting(component.parts, put)))


@pytest.mark.parametrize(
    ("source", "where"), [("by number", "every position"), ("any inputs", "answers")]
)
@pytest.mark.parametrize(("kind", "component"), of_two_kinds)
def test_patch(subjects, kind, component, source, where):
    numbers = torch.arange(20).flip(0)
    others = (TASK.inputs + 1) % TOKENS
    given = numbers if source == "by number" else others
    tokens = TASK.inputs[numbers] if source == "by number" else others
    seen = by_hand(kind, tokens).seen

    def put(there, value):
        return seen[there] if where == "every position" else only_where_asked(seen[there], value)

    outcome = subjects[kind].intervene.patch(component, given, where)
    agrees(outcome, by_hand(kind, write=putting(component.parts, put)))


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("kind", "edge"), of_kinds(EDGES, EDGES_OF_MLPS))
def test_cut(subjects, kind, edge, how):
    """The reader reads something else, and nobody else does."""
    sender, into = edge
    was = written(kind, by_hand(kind).seen, sender)
    becomes = replaced(was, how)
    if into is logits:
        readers = ["logits"]
    elif getattr(into, "kind", "mlp") == "mlp":
        readers = [("mlp", into.parts[0].layer)]
    else:
        name = {"queries": "query", "keys": "key", "values": "value"}[into.kind]
        readers = [(name, into.layer, index) for index in into.heads]

    def read(reader, stream):
        return stream - was + becomes if reader in readers else stream

    agrees(subjects[kind].intervene.cut(sender, into, how), by_hand(kind, read=read))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_attend(subjects, kind):
    """All of it to a position, counted from the end too, of one head; a pattern of another."""
    generator = torch.Generator().manual_seed(3)
    cases = TASK.answer_positions
    first = (torch.rand(len(cases), generator=generator) * (cases[:, 1] + 1)).long()
    second = torch.rand(len(cases), POSITIONS, generator=generator, dtype=torch.float64)
    one_hot = torch.nn.functional.one_hot(first, POSITIONS).double()
    given = {("pattern", 0, 1): one_hot, ("pattern", 1, 0): second}

    def write(where, value):
        if where not in given:
            return value
        made = value.clone()
        for case, (row, position) in enumerate(cases.tolist()):
            made[row, position] = given[where][case]
        return made

    expected = by_hand(kind, write=write)
    intervene = subjects[kind].intervene
    agrees(intervene.attend({head(0, 1): first, head(1, 0): second}), expected)
    agrees(intervene.attend({head(0, 1): first - POSITIONS, head(1, 0): second}), expected)


@pytest.fixture
def sites(subjects):
    """By a place in the plain run the hook of the package's sites, in a model that has all."""
    kind = KINDS["MLP and LayerNorm"]
    found = subjects[kind].parts.sites
    whole = {"embedding": found.embedding, "positions": found.positions}
    whole |= {"unembedded": found.unembedded}
    of_heads = {}
    for number, layer in enumerate(found.layers):
        whole |= {("input", number): layer.input, ("output", number): layer.output}
        whole |= {("mlp", number): layer.mlp_output, ("neurons", number): layer.neurons}
        for name in ("query", "key", "value", "pattern", "mixed"):
            of_heads[name, number] = getattr(layer, name)
    return kind, whole, of_heads


def heads_of(seen, name, layer):
    """All heads of a layer beside one another, as a hook has them."""
    axis = 1 if name == "pattern" else 2
    return torch.stack([seen[name, layer, index] for index in (0, 1)], dim=axis)


def test_every_site_is_read(subjects, sites):
    kind, whole, of_heads = sites
    activations, seen = subjects[kind].activations, by_hand(kind).seen
    for where, site in whole.items():
        assert (activations.read(site) - seen[where]).abs().max() < 1e-9, site
        assert (activations.at_answers(site) - at_answers(seen[where])).abs().max() < 1e-9, site
    for (name, layer), site in of_heads.items():
        assert (activations.read(site) - heads_of(seen, name, layer)).abs().max() < 1e-9, site


@pytest.mark.parametrize("where", ["every position", "answers"])
def test_every_site_is_edited_and_its_edit_acts(subjects, sites, where):
    kind, whole, of_heads = sites
    intervene, clean = subjects[kind].intervene, by_hand(kind)
    generator = torch.Generator().manual_seed(5)

    def put_at(site, places, value):
        new = value + torch.rand(value.shape, generator=generator, dtype=torch.float64)

        def write(there, old):
            if there not in places:
                return old
            of = new if len(places) == 1 else new.select(new.ndim - 2, places.index(there))
            return of if where == "every position" else only_where_asked(of, old)

        outcome, expected = intervene.put(site, new, where), by_hand(kind, write=write)
        agrees(outcome, expected)
        moved = (expected.logits - clean.logits).abs().max()
        assert moved > 1e-3, f"{site} moves no logit"

    for there, site in whole.items():
        put_at(site, [there], clean.seen[there])
    for (name, layer), site in of_heads.items():
        if name != "pattern":
            places = [(name, layer, index) for index in (0, 1)]
            put_at(site, places, heads_of(clean.seen, name, layer))


def test_patterns_are_put(subjects, sites):
    kind, _, of_heads = sites
    generator = torch.Generator().manual_seed(5)
    for layer in (0, 1):
        new = torch.rand(20, 2, POSITIONS, POSITIONS, generator=generator, dtype=torch.float64)
        given = {("pattern", layer, index): new[:, index] for index in (0, 1)}
        outcome = subjects[kind].intervene.put(of_heads["pattern", layer], new)
        agrees(outcome, by_hand(kind, write=lambda where, old, given=given: given.get(where, old)))


def test_what_only_one_reads_is_read_by_it_alone(subjects):
    """`mlp_input` and `final_residual` are before the norm of their readers."""
    for kind in KINDS.values():
        subject = subjects[kind]
        sites, read = subject.parts.sites, subject.activations.read
        readers = {"logits": sites.final_residual}
        if kind.mlp:
            readers |= {("mlp", n): layer.mlp_input for n, layer in enumerate(sites.layers)}
        for reader, site in readers.items():
            new = read(site).flip(0)
            expected = by_hand(
                kind, read=lambda one, stream, r=reader, new=new: new if one == r else stream
            )
            agrees(subject.intervene.put(site, new), expected)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_is_read_of_the_model_and_downstream_of_an_edit(subjects, kind):
    subject, index = subjects[kind], head(0, 1)
    clean = by_hand(kind)
    swapped = torch.arange(20).flip(0)
    change = by_hand(
        kind, write=putting(index.parts, lambda where, value: clean.seen[where][swapped])
    )
    for activations, expected in (
        (subject.activations, clean),
        (subject.intervene.patch(index, swapped), change),
    ):
        seen, of_cases = expected.seen, at_answers(expected.logits)
        assert (activations.logits - of_cases).abs().max() < 1e-9
        losses = -of_cases.log_softmax(-1)[range(len(of_cases)), TASK.labels]
        assert (activations.loss - losses).abs().max() < 1e-9
        right = of_cases.argmax(dim=-1)
        assert torch.equal(activations.prediction, right)
        assert torch.equal(activations.correct, right == TASK.labels)
        assert torch.equal(activations.answers(right - 1), torch.zeros(len(right)).bool())
        assert activations.answers(right).all()
        for layer in (0, 1):
            for which in (0, 1):
                pattern = seen["pattern", layer, which]
                found = activations.pattern(head(layer, which))
                assert (found - pattern).abs().max() < 1e-9
                found = activations.patterns[:, layer, which]
                assert (found - at_answers(pattern)).abs().max() < 1e-9
                score = at_answers(seen["score", layer, which])
                assert (activations.scores[:, layer, which] - score).abs().max() < 1e-9
            output = at_answers(seen["output", layer])
            assert (activations.outputs[layer] - output).abs().max() < 1e-9
            if kind.mlp:
                found = activations.neurons(layer) - at_answers(seen["neurons", layer])
                assert found.abs().max() < 1e-9
        every = OF_ALL | (OF_MLPS if kind.mlp else {})
        for component in every.values() if activations is subject.activations else ():
            found = activations.written(component) - written(kind, seen, component)
            assert found.abs().max() < 1e-9, component


def test_another_domain():
    """Other inputs, more of them, asked at other positions."""
    kind = KINDS["MLP and LayerNorm"]
    other = Questions(count=33)
    activations = kind.subject(TASK).activations.on(other)
    expected = by_hand(kind, other.inputs).logits
    rows = torch.stack([expected[row, position] for row, position in other.answer_positions])
    assert (activations.logits - rows).abs().max() < 1e-9


def rests_on_inputs(values):
    """Each row on the draw of its own input."""
    return torch.equal(draws_of(values), torch.arange(20))


def rests_on_cases(values):
    return torch.equal(draws_of(values), TASK.answer_positions[:, 0])


def test_of_a_sample_everything_knows_its_draws():
    kind = KINDS["MLP"]
    subject = kind.subject(Questions(is_sample=True))
    intervene = subject.intervene
    runs = [
        subject.activations,
        intervene.ablate(head(0, 0), "mean"),
        intervene.patch(mlp(0), torch.arange(20).flip(0)),
        intervene.cut(head(0, 0), logits, "resample"),
        intervene.attend({head(1, 1): torch.zeros(len(TASK.labels), dtype=torch.long)}),
        intervene.put("hook_embed", torch.zeros(20, POSITIONS, 8).double()),
        intervene.replace_inputs(TASK.inputs.flip(0)),
    ]
    for run in runs:
        for of_cases in (
            run.logits, run.loss, run.margin, run.correct, run.prediction, run.patterns,
            run.scores, run.answers(TASK.labels), run.neurons(1), run.embedding, run.unembedded,
        ):  # fmt: skip
            assert rests_on_cases(of_cases)
        for of_inputs in (
            run.pattern(head(1, 0)), run.read("hook_embed"), run.written(head(0, 0)),
            run.written(neurons(0, 1) + embedding),
        ):  # fmt: skip
            assert rests_on_inputs(of_inputs)
    of_all = KINDS["MLP"].subject(TASK)
    assert draws_of(of_all.activations.loss, of_all.activations.pattern(head(0, 0))) is None


def test_what_is_drawn_is_counted_where_it_can_differ():
    """Where all inputs have one token at their answers, its embedding is nobody else's."""
    asked = Questions()
    asked.inputs = torch.nn.functional.pad(asked.inputs[:, :-1], (0, 1), value=3)
    asked.answer_positions, asked.labels = (-1,), torch.zeros(20, dtype=torch.long)
    intervene = KINDS["MLP"].subject(asked).intervene
    each = torch.arange(20)
    for sender in (embedding, positions, embedding + positions):
        assert draws_of(intervene.cut(sender, logits, "resample").logits) is None
    for outcome in (
        intervene.cut(head(0, 0), logits, "resample"),
        intervene.cut(embedding + mlp(0), logits, "resample"),
        intervene.cut(embedding, head(1, 0).keys, "resample"),
        intervene.ablate(embedding, "resample"),
    ):
        assert torch.equal(draws_of(outcome.loss), each)
    for how in ("zero", "mean"):
        assert draws_of(intervene.ablate(embedding, how).loss) is None
        assert draws_of(intervene.cut(head(0, 0), logits, how).loss) is None
    assert draws_of(intervene.ablate(positions, "resample").loss) is None
