#!/usr/bin/env python3
"""The yardstick: how long the published notebooks' own way of training takes on this machine.

It trains the way the notebooks do: an item at a time from a DataLoader that makes a PIL image and a tensor of each
digit, `loss.item()` in every step, float32, Adam. torchvision has no CPU build, so its two conversions are done here
by the same calls that it makes. Seconds per epoch; compare with isthmus only when both ran on the same machine in the
same minutes, with the same number of threads.

    python notebook_loop.py DATA_DIR MODEL|prior|all [--epochs 1] [--batch-size 64] [--images 50000] [--threads 2] [--save FILE]

DATA_DIR holds MNIST's four IDX files (.gz). `prior --save FILE` writes the decoder, the noisy images, the starts and the objectives
reached (npz), so that another search can be given the same problems.
"""

import argparse, gzip, json, pathlib, time, warnings
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

warnings.filterwarnings("ignore")


def idx_images(path):
    return torch.from_numpy(np.frombuffer(gzip.open(path).read(), np.uint8, offset=16).reshape(-1, 28, 28).copy())


class Digits(Dataset):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        picture = Image.fromarray(self.images[i].numpy(), mode="L")
        tensor = torch.from_numpy(np.array(picture, np.uint8, copy=True)).view(28, 28, 1).permute(2, 0, 1).contiguous()
        return tensor.to(torch.float32).div(255), 0


def dense(*widths, activation=nn.ReLU):
    layers = []
    for i, (a, b) in enumerate(zip(widths, widths[1:])):
        layers += [nn.Linear(a, b), nn.Sigmoid() if i == len(widths) - 2 else activation()]
    return nn.Sequential(nn.Flatten(), *layers)


class ConvUnpool(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3), nn.Conv2d(16, 16, 3)])
        self.up = nn.ModuleList(
            [nn.ConvTranspose2d(16, 16, 3), nn.ConvTranspose2d(16, 8, 3), nn.ConvTranspose2d(8, 1, 3)]
        )

    def forward(self, x):
        kept = []
        for layer in self.down:
            x = F.relu(layer(x))
            size = x.size()
            x, where = F.max_pool2d(x, 2, 2, return_indices=True)
            kept.append((where, size))
        for i, layer in enumerate(self.up):
            where, size = kept.pop()
            x = layer(F.max_unpool2d(x, where, 2, 2, output_size=size))
            x = torch.sigmoid(x) if i == 2 else F.relu(x)
        return x.flatten(1)


MODELS = {
    "dense-32": lambda: dense(784, 32, 784),
    "deep-32-leakyrelu": lambda: dense(784, 256, 64, 32, 64, 256, 784, activation=nn.LeakyReLU),
    "dense-64": lambda: dense(784, 64, 784),
    "dense-256": lambda: dense(784, 256, 784),
    "deep-30": lambda: dense(784, 512, 256, 128, 30, 128, 256, 784),
    "sparse-1024": lambda: dense(784, 1024, 784),
    "conv-unpool": ConvUnpool,
}


def seconds_per_epoch(name, images, epochs, batch_size):
    torch.manual_seed(0)
    loader = DataLoader(Digits(images), batch_size=batch_size, shuffle=True)
    model, loss_fn = MODELS[name](), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    start = time.perf_counter()
    for _ in range(epochs):
        running = 0.0
        for x, _ in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), x.flatten(1))
            loss.backward()
            optimizer.step()
            running += loss.item()
    return (time.perf_counter() - start) / epochs, running / len(loader)


def seconds_per_search(images, save, n=10):
    """One image at a time: plain gradient descent on the code until the loss moves by less than 1e-6."""
    torch.manual_seed(0)
    decoder = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784), nn.ReLU())
    encoder = nn.Sequential(nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 20), nn.ReLU())
    x = images.view(-1, 784).float() / 255
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    for i in range(0, 60000, 128):  # a few hundred steps: enough for a decoder that draws digits
        loss = F.mse_loss(decoder(encoder(x[i : i + 128])), x[i : i + 128])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    noisy_images = x[:n] + 0.9**0.5 * x[:n].norm(dim=1, keepdim=True) / 28 * torch.randn(n, 784)
    starts, objectives = torch.rand(n, 20), []
    start, steps = time.perf_counter(), 0
    for noisy, z0 in zip(noisy_images, starts):
        z = z0.clone().requires_grad_()
        search, before, change = torch.optim.SGD([z], lr=1.0), 1e4, 1e4
        while change > 1e-6:
            search.zero_grad()
            loss = F.mse_loss(decoder(z), noisy)
            loss.backward()
            search.step()
            change, before = abs(before - loss), loss
            steps += 1
        objectives.append(loss.item())
    seconds = (time.perf_counter() - start) / n
    if save:
        weights = {f"decoder.{k}": v.numpy() for k, v in decoder.state_dict().items()}
        np.savez(save, noisy=noisy_images.numpy(), starts=starts.numpy(), objectives=np.array(objectives), **weights)
    return seconds, steps / n, float(np.mean(objectives))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=pathlib.Path)
    parser.add_argument("model", choices=[*MODELS, "prior", "all"])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--images", type=int, default=50000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save", help="with prior: an npz of the problems and what was reached")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    images = idx_images(args.data_dir / "train-images-idx3-ubyte.gz")
    for name in [*MODELS, "prior"] if args.model == "all" else [args.model]:
        if name == "prior":
            seconds, steps, objective = seconds_per_search(images, args.save)
            print(
                json.dumps(
                    {
                        "model": name,
                        "seconds_per_image": round(seconds, 4),
                        "steps_per_image": steps,
                        "objective": round(objective, 6),
                    }
                ),
                flush=True,
            )
        else:
            seconds, loss = seconds_per_epoch(name, images[: args.images], args.epochs, args.batch_size)
            print(
                json.dumps({"model": name, "seconds_per_epoch": round(seconds, 3), "loss": round(loss, 5)}), flush=True
            )
