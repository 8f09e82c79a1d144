"""Checkpoints of files of verdicts, as if they had been trained and judged in another way."""

from __future__ import annotations

import copy

from mechanistic_claims.outputs.survey.surveys import surveys as surveys_of
from mechanistic_claims.verdict.document import OF_CLAIM, checked_of


def became(claim, verdict):
    """A claim of a file of verdicts, as if something else had come of it."""
    told = {name: value for name, value in claim.items() if name in OF_CLAIM}
    if verdict == "error":
        return told | {"verdict": "error", "heading": "error", "error": "it was lost"}
    margin = abs(claim["margin"]) if verdict == "holds" else -1.0
    return claim | {"verdict": verdict, "heading": verdict, "margin": margin}


def surveys(checkpoints):
    return surveys_of(checked_of(checkpoints))


def steps_of(checkpoint, verdicts_by_step):
    """Checkpoints of one training run, of which one claim is told."""
    for step, verdict in verdicts_by_step.items():
        one = copy.deepcopy(checkpoint)
        one["path"], one["sha256"] = f"runs/one.step{step}.safetensors", f"{step:064x}"
        one["training"] = {"step": step, "loss": 1 / (1 + step), "recipe": {"seed": 1}}
        one["claims"] = [became(one["claims"][0], verdict)]
        yield one
