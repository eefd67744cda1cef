"""Recognises handwritten digits on trn: the one line to change is `.to("trn")`.

1,797 real scans come with scikit-learn. Ends with exit code 1 below 97 % on held-out digits.
"""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(32)
        self.dropout = nn.Dropout(0.2)
        self.out = nn.Linear(32 * 2 * 2, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.norm2(self.conv2(x))), 2)
        return self.out(self.dropout(x.flatten(1)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="trn", help="trn, cpu or cuda")
    parser.add_argument("--epochs", type=int, default=15)
    args = parser.parse_args()
    torch.manual_seed(0)

    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target, dtype=torch.long)
    order = torch.randperm(len(images))
    train, test = order[:1437], order[1437:]
    test_images, test_labels = images[test].to(args.device), labels[test].to(args.device)
    dataset = torch.utils.data.TensorDataset(images[train], labels[train])
    loader = torch.utils.data.DataLoader(dataset, batch_size=64, shuffle=True)

    model = Net().to(args.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    accuracy = 0.0
    for epoch in range(args.epochs):
        model.train()
        total = torch.zeros((), device=args.device)
        for x, y in loader:
            x, y = x.to(args.device), y.to(args.device)
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
        model.eval()
        with torch.no_grad():
            guesses = model(test_images).argmax(dim=1)
            accuracy = (guesses == test_labels).float().mean().item()
        print(f"epoch {epoch + 1:2d}  loss {total.item() / len(loader):.4f}  "
              f"held-out accuracy {accuracy:.2%}", flush=True)
    if accuracy <= 0.97:
        raise SystemExit(f"{accuracy:.2%} is not over 97 %")


if __name__ == "__main__":
    main()
