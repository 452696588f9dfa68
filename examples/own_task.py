"""A task of one's own, two spirals: glissade lrfind examples/own_task.py:task

`glissade compare examples/own_task.py:task` takes it too. What a task needs is in
glissade/study/task.py; data sets and DataLoaders of all kinds will do.
"""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def spirals(count, seed):
    """Points on two spirals, with noise, and which of the two each is on."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=generator)
    turn = 3 * torch.pi * torch.rand(count, generator=generator).sqrt()
    angles = turn + torch.pi * labels
    points = torch.stack([turn * angles.cos(), turn * angles.sin()], 1) / 5
    return TensorDataset(points + 0.04 * torch.randn(count, 2, generator=generator), labels)


class Spirals:
    title = "two spirals, MLP 2-64-64-2"
    metric_name, direction = "error, %", "min"
    epochs = 40

    def __init__(self):
        self.train = DataLoader(spirals(1024, seed=1), batch_size=32, shuffle=True)
        self.validation, self.test = spirals(512, seed=2), spirals(512, seed=3)

    def build(self, seed):
        return nn.Sequential(
            nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2)
        )

    def loss(self, model, batch):
        points, labels = batch
        return nn.functional.cross_entropy(model(points), labels)

    def metric(self, model, batches):
        wrong = [model(points).argmax(1) != labels for points, labels in batches]
        return 100 * torch.cat(wrong).float().mean().item()


task = Spirals()
