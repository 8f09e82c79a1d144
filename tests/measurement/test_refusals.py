"""Where a fixture does not cover a model, or what it is given does not fit, it says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from mechanistic_claims.measurement.checks import runnable
from mechanistic_claims.measurement.measures import share
from mechanistic_claims.model.components import embedding, head, logits, mlp, neurons
from mechanistic_claims.model.task import TaskOfLists
from mechanistic_claims.verdict.verdict import held_to
from tests.measurement.by_hand import refused
from tests.plain_transformer import LOGITS, POSITIONS, TOKENS, Kind, Questions

ONE_HEAD, TWO_LAYERS, WITH_MLP, WITH_NORM = (
    Kind(layers=1, heads=1),
    Kind(),
    Kind(mlp="relu"),
    Kind(norm="LN"),
)


@dataclass
class Lists(Questions):
    """A task of lists before a query token."""

    query: int = TOKENS - 1
    companions: Any = field(default_factory=lambda: torch.ones(LOGITS, LOGITS).bool())

    def random_lists(self, length, draws):
        return torch.zeros(draws, length + 1, dtype=torch.long)

    def labels_of(self, lists):
        return lists[:, 0]


@pytest.fixture(scope="module")
def subjects():
    with torch.no_grad():
        kinds = (ONE_HEAD, TWO_LAYERS, WITH_MLP, WITH_NORM)
        return {kind: kind.subject(Questions()) for kind in kinds}


def test_what_is_of_an_only_head(subjects):
    for kind, heads in ((TWO_LAYERS, 4), (Kind(layers=1), 2), (Kind(heads=1), 2)):
        subject = subjects.get(kind) or kind.subject(Questions())
        activations, intervene = subject.activations, subject.intervene
        row = torch.zeros(len(subject.task.labels), dtype=torch.long)
        of = row[:20]
        for ask in (
            lambda a=activations: a.attention,
            lambda a=activations: a.attention_scores,
            lambda a=activations, row=row: a.attention_to(row),
            lambda i=intervene, row=row: i.attend(row),
            lambda i=intervene, of=of, s=subject: i.exchange_value(of, s.task.inputs, of),
            lambda i=intervene: i.replace_ov(torch.zeros(TOKENS, LOGITS).double()),
            lambda s=subject: s.circuits.ov(),
            lambda s=subject: s.circuits.qk(),
        ):
            refused(f"this model has {heads} heads", ask)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Kind(layers=1), "this model has 2 heads in all its layers: the certificate is of one"),
        (Kind(heads=1), "this model has 2 heads in all its layers: the certificate is of one"),
        (Kind(layers=1, heads=1, norm="LN"), "1 heads in all its layers, and norms: the cert"),
        (
            Kind(layers=1, heads=1, mlp="relu"),
            "blocks.0.mlp.W_out, blocks.0.mlp.b_out, unembed.b_U are not zero: the certificate is "
            "of a model without biases and MLPs.",
        ),
        (ONE_HEAD, "blocks.0.attn.b_Q, blocks.0.attn.b_K, "),
    ],
)
def test_the_certificate(kind, said):
    task = Lists()
    assert isinstance(task, TaskOfLists)
    refused(said, lambda: kind.subject(task).certificate)


@pytest.mark.parametrize("asked", ["certificate", "sampled"])
def test_of_a_task_that_is_none_of_lists(subjects, asked):
    said = f"{asked} is of lists of tokens, and the task of some_model has none: it"
    refused(said, lambda: getattr(subjects[ONE_HEAD], asked))


def test_lists_of_another_length_where_positions_are_trained():
    task = Lists()
    task.answer_positions, task.labels = (-1,), torch.zeros(20, dtype=torch.long)
    subject = ONE_HEAD.subject(task)
    assert subject.sampled(POSITIONS - 1, 5) in (0, 1)
    refused("its positions are trained: 6 of them", lambda: subject.sampled(8, 5))


def test_ov_is_not_replaced_where_something_follows_it():
    ov = torch.zeros(TOKENS, LOGITS).double()
    for kind in (Kind(1, 1, mlp="relu"), Kind(1, 1, norm="LN")):
        intervene = kind.subject(Questions()).intervene
        refused(
            "replace_ov: an MLP or a norm follows the head", lambda i=intervene: i.replace_ov(ov)
        )


def test_circuits_of_what_there_is(subjects):
    circuits = subjects[TWO_LAYERS].circuits
    for component in (head(0, 2), head(2, 0), head(-1, 0), head(0, -1)):
        said = f"there is no {component}: this model has layers 0 to 1, each with heads 0 to 1."
        refused(said, lambda c=component: circuits.ov(c))
        refused(said, lambda c=component: circuits.composition(head(1, 0).keys, c))
    refused("there is no head 0.2", lambda: circuits.qk(head(1, 0), keys=head(0, 2)))
    for component in (mlp(0), embedding, head(0, 0) + head(0, 1), neurons(0, 1)):
        refused("expected one head", lambda c=component: circuits.qk(c))
        refused("expected one head", lambda c=component: circuits.composition(head(1, 0).keys, c))
    for through in (head(1, 1), mlp(0), head(0, 0) + head(0, 1), embedding + head(0, 0)):
        refused("a circuit of layer 1 through", lambda t=through: circuits.ov(head(1, 0), values=t))
    refused("they don't compose", lambda: circuits.composition(head(1, 0).keys, head(1, 1)))
    two = (head(1, 0) + head(1, 1)).keys
    for reader in (logits, two):
        refused(
            "expected the queries, keys or", lambda r=reader: circuits.composition(r, head(0, 0))
        )


def test_circuits_with_a_norm(subjects):
    circuits = subjects[WITH_NORM].circuits
    for ask in (
        lambda: circuits.ov(head(0, 0)),
        lambda: circuits.qk(head(0, 0)),
        lambda: circuits.direct_path,
        lambda: circuits.composition(head(1, 0).keys, head(0, 0)),
    ):
        refused("a norm stands between what is written and what is read in this model", ask)


def test_components_that_are_not_there(subjects):
    numbers = torch.arange(20)
    for kind, component, said in (
        (WITH_MLP, head(0, 2), "there is no head 0.2: each layer has heads 0 to 1."),
        (WITH_MLP, head(2, 0), "there is no layer 2: this model has layers 0 to 1."),
        (WITH_MLP, head(-1, 0), "there is no layer -1"),
        (WITH_MLP, head(0, -1), "there is no head 0.-1"),
        (WITH_MLP, mlp(2), "there is no layer 2"),
        (TWO_LAYERS, mlp(1), "there is no mlp 1: layer 1 of this model has no MLP."),
        (TWO_LAYERS, neurons(0, 3), "there is no neuron 3 of layer 0: layer 0 of this model"),
        (
            WITH_MLP,
            neurons(0, 10),
            "there are no neurons 10: this model has neurons 0 to 9 in each layer.",
        ),
        (
            WITH_MLP,
            neurons(0, -1, 2),
            "there are no neurons -1: this model has neurons 0 to 9 in each layer.",
        ),
    ):
        activations, intervene = subjects[kind].activations, subjects[kind].intervene
        for ask in (
            lambda i=intervene, c=component: i.ablate(c, "zero"),
            lambda i=intervene, c=component: i.ablate(embedding + c, "resample", "answers"),
            lambda i=intervene, c=component: i.patch(c, numbers),
            lambda i=intervene, c=component: i.cut(c, logits, "mean"),
            lambda a=activations, c=component: a.written(c),
        ):
            refused(said, ask)
    activations = subjects[TWO_LAYERS].activations
    refused("layer 0 of this model has no MLP", lambda: activations.neurons(0))
    refused("there is no layer -1", lambda: subjects[WITH_MLP].activations.neurons(-1))
    for component in (mlp(0), head(0, 0) + head(0, 1)):
        refused("expected one head", lambda c=component: activations.pattern(c))
    refused("there is no head 0.2", lambda: activations.pattern(head(0, 2)))


def test_readers_that_are_not_there_or_read_before(subjects):
    intervene = subjects[WITH_MLP].intervene
    for sender, into, said in (
        (head(1, 0), head(0, 0).keys, "keys of heads 0.0 read before head 1.0 writes: there is no"),
        (head(0, 0), head(0, 1).queries, "queries of heads 0.1 read before head 0.0 writes"),
        (mlp(0), head(0, 1).values, "values of heads 0.1 read before mlp 0 writes"),
        (mlp(0), mlp(0), "mlp 0 read before mlp 0 writes"),
        (neurons(1, 2), mlp(1), "mlp 1 read before neuron 2 of layer 1 writes"),
        (embedding + head(1, 1), mlp(0), "mlp 0 read before head 1.1 writes"),
        (embedding, head(1, 2).keys, "there is no head 1.2"),
        (embedding, head(2, 0).keys, "there is no layer 2"),
        (embedding, head(-1, 0).keys, "there is no layer -1"),
        (embedding, mlp(2), "there is no layer 2"),
        (embedding, head(1, 0), "expected head(...).queries, .keys or .values, one mlp(layer), or"),
        (embedding, mlp(0) + mlp(1), "expected head(...).queries"),
    ):
        refused(said, lambda s=sender, r=into: intervene.cut(s, r, "mean"))
    no_mlp = subjects[TWO_LAYERS].intervene
    refused("this layer has no MLP", lambda: no_mlp.cut(embedding, mlp(0), "mean"))
    for component in (mlp(0), head(0, 0) + mlp(0), embedding):
        with pytest.raises(ValueError, match="only heads have keys"):
            _ = component.keys


@pytest.mark.parametrize(
    ("one", "other"),
    [(mlp(0), neurons(0, 1)), (neurons(0), neurons(0, 1)), (neurons(1, 1, 2), neurons(1, 2))],
)
def test_neurons_are_counted_once(one, other):
    """Otherwise a cut would take away twice what they write."""
    for add in (lambda: one + other, lambda: head(0, 0) + other + one):
        with pytest.raises(ValueError, match="is part of the other's"):
            add()
    assert len(mlp(0) + neurons(1, 1) + neurons(1, 2) + mlp(0)) == 3


def test_words_that_are_none(subjects, as_for_users):
    intervene = subjects[WITH_MLP].intervene
    said = "an ablation 'means': expected zero, mean, mean over positions or resample."
    refused(said, lambda: intervene.ablate(mlp(0), "means"))
    refused(said, lambda: intervene.cut(mlp(0), logits, "means"))
    for at in ("answer", "every"):
        said = f"at='{at}': expected 'every position', 'answers', a position or several, a tensor"
        refused(said, lambda at=at: intervene.ablate(mlp(0), "zero", at).logits)
        refused(said, lambda at=at: intervene.patch(mlp(0), torch.arange(20), at).logits)


def test_an_edit_that_is_not_used(subjects):
    """The bridge drops an edit of its scores, and nothing reads the last pattern but the values."""
    for kind in (TWO_LAYERS, WITH_MLP):
        subject = subjects[kind]
        site = "blocks.0.attn.hook_attn_scores"
        zero = torch.zeros(20, 2, POSITIONS, POSITIONS).double()
        said = f"an edit of {site} is not used by the model: what is claimed of it would be of"
        refused(said, lambda s=subject, site=site, v=zero: s.intervene.put(site, v))


def test_a_site_that_nothing_reads(subjects):
    """What attention gives to positions that are never asked, in the last layer."""
    asked = Questions()
    asked.answer_positions, asked.labels = (-1,), torch.zeros(20, dtype=torch.long)
    subject = TWO_LAYERS.subject(asked)
    site = subject.parts.sites.layers[1].query
    values = subject.activations.read(site).clone()
    same = subject.intervene.put(site, values)
    assert torch.equal(same.logits, subject.activations.logits)
    values[:, :-1] += 1
    refused(
        f"values put at {site} change no logit by a bit",
        lambda: subject.intervene.put(site, values),
    )
    for nowhere in ("hook_nothing", "blocks.7.hook_resid_pre"):
        refused(f"there is no site {nowhere}", lambda n=nowhere: subject.activations.read(n))
        refused(f"there is no site {nowhere}", lambda n=nowhere: subject.intervene.put(n, values))
    middle = "blocks.0.hook_resid_mid"
    refused("the residual stream goes on without it", lambda: subject.intervene.put(middle, values))
    refused("unembed.hook_out", lambda: subject.activations.read(subject.parts.sites.logits))


def asked(**changes):
    """A model with questions of which something is otherwise."""
    task = Questions()
    for name, value in changes.items():
        setattr(task, name, value)
    return TWO_LAYERS.subject(task)


def test_labels_that_are_no_tokens(as_for_users):
    labels = Questions().labels
    for wrong, said in (
        (labels.float(), "labels are float32 of the shape"),
        (labels > 3, "labels are bool of the shape"),
        (labels[:, None], f"labels are int64 of the shape [{len(labels)}, 1]"),
    ):
        refused(said, lambda wrong=wrong: asked(labels=wrong).activations.margin)


def test_a_task_that_lacks_something(as_for_users):
    class Half:
        inputs = Questions().inputs

    refused("Half, the task, lacks is_sample, answer_positions, labels. Where there is", lambda: (
        TWO_LAYERS.subject(Half()).activations
    ))  # fmt: skip


def test_attention_that_is_none(subjects):
    intervene, count = subjects[TWO_LAYERS].intervene, len(Questions().labels)
    for rows in (
        torch.full((count, POSITIONS), 7.0),
        torch.eye(POSITIONS).repeat(20, 1)[:count] * -1,
    ):
        refused("not shares that sum to 1", lambda rows=rows: (
            intervene.attend({head(1, 0): rows}).logits
        ))  # fmt: skip


def test_a_share_of_numbers(as_for_users):
    for numbers in (torch.rand(4), torch.arange(4)):
        refused("expected true or false", lambda numbers=numbers: share(numbers))


def test_components_and_readers_are_added_up():
    both = head(1, 0) + head(1, 1)
    assert sum([head(1, 0), head(1, 1)]) == both
    assert head(1, 0).keys + head(1, 1).keys == both.keys
    with pytest.raises(ValueError, match="cut one edge at a time"):
        _ = head(1, 0).keys + head(1, 1).queries
    assert (head(0, 0).keys + head(1, 0).keys).heads == ((0, 0), (1, 0))


def test_tokens_and_inputs_that_are_not_there(subjects):
    beyond = Questions().inputs + TOKENS
    refused("that this model does not embed: it has 0 to 10", lambda: (
        asked(inputs=beyond).activations.logits
    ))  # fmt: skip
    intervene = subjects[TWO_LAYERS].intervene
    for source in (torch.arange(20) + 1, torch.arange(20) - 1):
        refused("no number of one of 20 inputs", lambda source=source: (
            intervene.patch(head(0, 0), source)
        ))  # fmt: skip


def test_several_numbers_are_none():
    refused("measured 3 x 2 numbers, expected one: give share(...) or", lambda: (
        held_to(torch.ones(3, 2), at_least=0)
    ))  # fmt: skip
    assert held_to(torch.ones(1), at_least=0).measured == 1


def test_inputs_that_are_no_numbers():
    """Those are told of, and not the weights."""
    inputs = torch.rand(4, 3, 2)
    inputs[1, 2, 0] = float("nan")
    refused("1 of 4 inputs of the task are not finite", lambda: runnable(inputs, None))
    assert torch.equal(runnable(inputs[2:], None), inputs[2:])


def test_a_head_has_a_place_and_nothing_else_has():
    assert head(1, 2).place == (1, 2)
    for one in (head(0, 0) + head(0, 1), mlp(0), embedding):
        with pytest.raises(ValueError, match=r"\.place: expected one head"):
            one.place  # noqa: B018
