"""The networks in plain PyTorch, with the initial weights, padding and normalisation of Keras."""

import torch
from torch import nn


def lenet5() -> nn.Sequential:
    """Return LeNet-5 as configs/lenet5.yaml has it, with scores for probabilities."""
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5),  # 24x24x6
        nn.Tanh(),
        nn.AvgPool2d(2),  # 12x12x6
        nn.Conv2d(6, 16, 5),  # 8x8x16
        nn.Tanh(),
        nn.AvgPool2d(2),  # 4x4x16
        nn.Flatten(),
        nn.Linear(256, 120),
        nn.Sigmoid(),
        nn.Linear(120, 84),
        nn.Sigmoid(),
        nn.Linear(84, 10),
    )
    return model.apply(_initialize_as_keras)


def alexnet(dropout: float = 0.5) -> nn.Sequential:
    """Return AlexNet as configs/alexnet.yaml has it, with scores for probabilities.

    `ceil_mode` lets a window hang over the right and lower edge, as Keras' padding "same" does on
    2x2 maps.
    """
    model = nn.Sequential(
        nn.Conv2d(3, 96, 11, stride=4),  # 6x6x96
        nn.ReLU(),
        _batch_norm(96),
        nn.MaxPool2d(3, stride=2),  # 2x2x96
        nn.Conv2d(96, 256, 5, padding=2),  # 2x2x256
        nn.ReLU(),
        _batch_norm(256),
        nn.MaxPool2d(3, stride=2, ceil_mode=True),  # 1x1x256
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),  # 1x1x384
        nn.Flatten(),
        nn.Linear(384, 4096),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(4096, 10),
    )
    return model.apply(_initialize_as_keras)


def alexnet_cifar10() -> nn.Sequential:
    """Return the network of configs/alexnet_cifar10.yaml, with scores for probabilities."""
    stages: list[nn.Module] = []
    channels = 3
    for maps, size, pools in [(48, 5, 1), (128, 3, 1), (192, 3, 0), (192, 3, 0), (128, 3, 1)]:
        stages += [nn.Conv2d(channels, maps, size, padding="same"), nn.ReLU(), _batch_norm(maps)]
        stages += [nn.MaxPool2d(2)] * pools
        channels = maps
    model = nn.Sequential(
        *stages,  # 4x4x128
        nn.Flatten(),
        nn.Linear(2048, 1024),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(1024, 1024),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(1024, 10),
    )
    return model.apply(_initialize_as_keras)


def alexnet_owt() -> nn.Sequential:
    """Return the layers of torchvision.models.alexnet, at 224x224."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),  # 55x55x64
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2),  # 27x27x192
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1),  # 13x13x384
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),  # 6x6x256
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(9216, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(4096, 4096),
        nn.ReLU(inplace=True),
        nn.Linear(4096, 1000),
    )


def alexnet_2012() -> nn.Sequential:
    """Return AlexNet as configs/alexnet_2012.yaml has it, at 227x227, with scores."""

    def response_norm() -> nn.Module:
        return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)  # alpha is divided by 5

    return nn.Sequential(
        nn.Conv2d(3, 96, 11, stride=4),  # 55x55x96
        nn.ReLU(),
        response_norm(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2),  # 27x27x256
        nn.ReLU(),
        response_norm(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(256, 384, 3, padding=1),  # 13x13x384
        nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),  # 6x6x256
        nn.Flatten(),
        nn.Linear(9216, 4096),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4096, 1000),
    )


def _batch_norm(maps: int) -> nn.Module:
    """Return batch normalisation with the defaults of Keras: 0.99 of the old mean is kept.

    PyTorch's running variance is n / (n - 1) times Keras', n being the values of a map in a batch.
    """
    return nn.BatchNorm2d(maps, eps=1e-3, momentum=0.01)


def _initialize_as_keras(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


def parameters(model: nn.Module) -> int:
    """Count as Keras does: running means and variances, too, but not PyTorch's batch counter."""
    state = model.state_dict()
    return sum(each.numel() for name, each in state.items() if "num_batches" not in name)


@torch.no_grad()
def copy_from_keras(model: nn.Module, arrays: list) -> None:
    """Fill a network with the arrays of `get_weights()` of the same network in Keras.

    Kernels are (height, width, in, out) and (in, out) there, and the first fully connected layer
    reads maps with the channels last.
    """
    arrays = [torch.tensor(array) for array in arrays]
    channels, flattened = 0, False
    for layer in model:
        if isinstance(layer, nn.Conv2d):
            kernel, bias = arrays.pop(0), arrays.pop(0)
            layer.weight.copy_(kernel.permute(3, 2, 0, 1))
            layer.bias.copy_(bias)
            channels = len(bias)
        elif isinstance(layer, nn.BatchNorm2d):
            for own in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                own.copy_(arrays.pop(0))
        elif isinstance(layer, nn.Linear):
            kernel, bias = arrays.pop(0), arrays.pop(0)
            if not flattened:
                kernel = kernel.unflatten(0, (-1, channels)).transpose(0, 1).flatten(0, 1)
                flattened = True
            layer.weight.copy_(kernel.T)
            layer.bias.copy_(bias)
    if arrays:
        raise ValueError(f"{len(arrays)} arrays are left over: the networks differ")
