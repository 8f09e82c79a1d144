"""Draws README's pictures, story.png and proofs.png: `python .github/draw_pictures.py`."""

from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mechanistic_claims.checkpoint.read import read_checkpoint
from mechanistic_claims.measurement.pictures import draw
from mechanistic_claims.measurement.subject import Subject
from mechanistic_claims.model.task import Picture

checkpoint = read_checkpoint(FAMILY.reference, "min_of_two")
subject = Subject(checkpoint, FAMILY.build(checkpoint, torch.device("cpu")), torch.device("cpu"))
task, circuits = subject.task, subject.circuits
row = circuits.qk().matrix[task.equals, task.operands]
rises = torch.nn.functional.pad(row.diff() >= 0, (0, 1))

with torch.no_grad():
    pictures: list[Picture] = [
        task.row(row, "= scores smaller numbers higher (QK row of =)", "attention score", rises),
        task.map(subject.activations.attention[:, 0], "so = attends to the min", "attention to a"),
        task.circuit(
            circuits.ov().matrix[task.operands], "and the OV circuit copies it", "attended", "logit"
        ),
    ]

figure = Figure(figsize=(16, 4.6), dpi=110, layout="constrained", facecolor="white")
FigureCanvasAgg(figure)
for picture, axes in zip(pictures, figure.subplots(1, 3), strict=True):
    picture.draw(axes)
here = Path(__file__)
figure.savefig(here.with_name("story.png"))
with torch.no_grad():
    here.with_name("proofs.png").write_bytes(draw(subject.certificate.tradeoff))
