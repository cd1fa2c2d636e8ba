"""Compare FGSM and PGD with those of IBM's Adversarial Robustness Toolbox on the same network.

    pip install adversarial-robustness-toolbox torch
    python benchmarks/attacks_against_art.py [--model lenet5/mnist] [--images 500]

Both attack the same Keras network on the PyTorch backend, on the same test images, at the same
strengths. ART climbs the cross-entropy of the scores, we climb their log-odds (see
`modelzoo.analysis.attacks`). Prints for each strength the accuracy after each attack, the share
of pixels whose FGSM perturbation is the same, and how many images both FGSMs fool of those that
either does.
"""

import argparse
import os

os.environ["KERAS_BACKEND"] = "torch"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import torch
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescentPyTorch
from art.estimators.classification import PyTorchClassifier

from modelzoo.analysis.attacks import answers, fgsm, pgd
from modelzoo.analysis.measuring import build_scores, open_pictures
from modelzoo.training.resolve import resolve

FULL_RANGE = 255.0


def main() -> None:
    """Attack, and print a line a strength."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lenet5/mnist", metavar="NAME/WEIGHTS")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.01, 0.03, 0.05, 0.1, 0.2])
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()

    network = resolve(options.model, overrides=["trainer.backend=torch"])
    model, _ = build_scores(network)
    pictures = open_pictures([network], options.images, 0, print)
    images, labels = np.asarray(pictures.images, "float32"), pictures.labels
    classifier = PyTorchClassifier(
        model=model,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=images.shape[1:],
        nb_classes=len(pictures.data.class_names),
        clip_values=(0.0, FULL_RANGE),
    )

    def accuracy(attacked: np.ndarray) -> float:
        return float((answers(model, attacked) == labels).mean())

    print(f"{network.label}, {pictures.described}: accuracy {accuracy(images):.3f}")
    print("strength  FGSM: ours   ART  same pixels  both fooled   PGD: ours   ART")
    for strength in options.strengths:
        budget = FULL_RANGE * strength
        ours = fgsm(model, images, labels, strength)
        theirs = FastGradientMethod(classifier, eps=budget).generate(images, labels)
        fooled = [answers(model, each) != labels for each in (ours, theirs)]
        both = (fooled[0] & fooled[1]).sum() / max(1, (fooled[0] | fooled[1]).sum())
        same = np.isclose(ours, theirs, atol=1e-3).mean()
        climb = ProjectedGradientDescentPyTorch(
            classifier,
            eps=budget,
            eps_step=2.5 * budget / options.steps,
            max_iter=options.steps,
            num_random_init=2,  # ours climbs from FGSM's point and from a random one
            verbose=False,
        )
        strong = pgd(model, images, labels, strength, steps=options.steps)
        art = accuracy(climb.generate(images, labels))
        print(
            f"{strength:8g}  {accuracy(ours):10.3f} {accuracy(theirs):5.3f} {same:12.5f} "
            f"{both:12.3f}  {accuracy(strong):10.3f} {art:5.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
