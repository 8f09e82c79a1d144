"""README's story.png and proofs.png: `PYTHONPATH=. python .github/draw_pictures.py`."""

import subprocess
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile

import matplotlib
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mechanistic_claims import open_checkpoint
from mechanistic_claims.measurement.certificates.compactness import Tradeoff, draw_beside
from mechanistic_claims.measurement.page import HEIGHT, WIDTH
from mechanistic_claims.model.task import Picture
from mechanistic_claims.outputs.survey.pictures import STYLE
from tests.benchmarks.published import PUBLISHED, proofs_beside
from tests.outputs.browser import QUIET, programs

PROVED = {
    "min_of_two": ("min of K numbers below 200, read at '='", (2, 4, 8, 16), 2),
    "max_of_four": ("max of 4 numbers below 64, read at the last", (4,), 4),
}
here = Path(__file__)
subject = open_checkpoint("min_of_two")
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

parts = [
    picture.svg().replace("<svg", f'<svg x="{at * WIDTH}"', 1)
    for at, picture in enumerate(pictures)
]
size = len(parts) * WIDTH, HEIGHT
with NamedTemporaryFile("w", suffix=".svg") as file:
    file.write(f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>')
    file.flush()
    take = [f"--screenshot={here.with_name('story.png')}", f"--window-size={size[0]},{size[1]}"]
    subprocess.run([programs()[0], *QUIET, "--no-sandbox", *take, file.name], check=True)

with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(9, 4.6), dpi=140, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    tradeoffs = [
        Tradeoff(title, partial(proofs_beside, open_checkpoint(model), *found), (PUBLISHED,))
        for model, (title, *found) in PROVED.items()
    ]
    draw_beside(tradeoffs, figure.subplots(1, len(tradeoffs), sharey=True))
    figure.savefig(here.with_name("proofs.png"))
