"""What authors report of their own methods: with its scale, and the kinds of model it speaks for.

Quoted from the abstracts of the papers that the registry cites. None of it was measured here.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import registry

# Kinds of model and of training, as they are said in words.
TRANSFORMER = "transformer"
LANGUAGE = "transformer on tokens"
IMAGE_TRANSFORMER = "transformer on images"
CONVOLUTIONAL = "convolutional network"
RECURRENT = "recurrent network"
LINEAR = "linear model"
RARE = "model with rare features"
DIFFUSION = "diffusion model"
GAN = "generative adversarial network"
PERCEPTRON = "multilayer perceptron"


@dataclass(frozen=True)
class Report:
    """What one paper says of its method."""

    name: str  # of the registry's row
    said: str
    scale: str  # on what
    kinds: tuple[str, ...]  # of model that it speaks for: any of these
    large_batch: bool = False  # whether it is about large batches alone

    @property
    def year(self) -> int:
        return registry.lookup(self.name).paper.year

    @property
    def source(self) -> str:
        """Who, when and where."""
        paper = registry.lookup(self.name).paper
        return f"{paper.authors} {paper.year}, {paper.identifier}"


EVIDENCE: tuple[Report, ...] = (
    Report("sophia", "half of Adam's steps, compute and time to the same perplexity",
           "GPT models of 125M to 1.5B parameters", (LANGUAGE,)),
    Report("lamb", "batches of 32,868 without loss of performance; 76 minutes instead of 3 days",
           "BERT, on a TPUv3 Pod", (TRANSFORMER,), large_batch=True),
    Report("lars", "batches of 8K and of 32K without loss of accuracy", "AlexNet and ResNet-50",
           (CONVOLUTIONAL,), large_batch=True),
    Report("lion", "up to 2 % more accuracy on ImageNet, and up to 5 times less compute on JFT; "
           "the gain over Adam grows with the batch", "ViT, image classification",
           (IMAGE_TRANSFORMER,)),
    Report("lion", "up to 2.3 times less compute than Adam at a better FID", "diffusion models",
           (DIFFUSION,)),
    Report("lion", "similar to Adam or better", "autoregressive and masked language models",
           (LANGUAGE,)),
    Report("adafactor", "results comparable to Adam's with very little state",
           "Transformer, WMT 2014 English-German", (LANGUAGE,)),
    Report("adamw", "generalizes substantially better than Adam with l2, and competes with "
           "momentum SGD", "image classification: CIFAR-10, ImageNet32x32", (CONVOLUTIONAL,)),
    Report("yogi", "ahead of Adam with very little tuning", "several machine learning tasks", ()),
    Report("radam", "effective and robust, by mending what a warm-up of Adam is there for",
           "image classification, language models, translation",
           (CONVOLUTIONAL, LANGUAGE, RECURRENT)),
    Report("adamod", "significantly better than Adam", "DenseNet, Transformer",
           (CONVOLUTIONAL, TRANSFORMER)),
    Report("signum", "Adam's accuracy and speed, with gradients that can be sent as one bit an "
           "element", "deep ImageNet models", (CONVOLUTIONAL,)),
    Report("adabelief", "accuracy comparable to SGD's", "ImageNet", (CONVOLUTIONAL,)),
    Report("adabelief", "stable, and better samples than a well-tuned Adam's", "a GAN on CIFAR-10",
           (GAN,)),
    Report("adabound", "closes the gap between adaptive methods and SGD in generalization, and "
           "keeps the speed of the former early on", "MNIST, CIFAR-10, Penn Treebank",
           (PERCEPTRON, CONVOLUTIONAL, RECURRENT)),
    Report("diffgrad", "ahead of momentum SGD, Adagrad, Adadelta, RMSprop, AMSGrad and Adam",
           "ResNet on CIFAR-10 and CIFAR-100", (CONVOLUTIONAL,)),
    Report("amsgrad", "converges where Adam does not", "a simple convex problem, and a proof",
           (LINEAR,)),
    Report("adagrad", "a regret provably as good as with the best proximal function in hindsight",
           "convex problems, online", (LINEAR,)),
    Report("adadelta", "promising without any tuning of a learning rate",
           "MNIST, and a large voice dataset on a cluster", (PERCEPTRON,)),
)  # fmt: skip
