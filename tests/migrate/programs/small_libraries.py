"""safetensors, einops and torchmetrics with tensors on the GPU."""

import os
import tempfile

import einops
import torch
import torchmetrics
from einops.layers.torch import Rearrange
from safetensors.torch import load_file, load_model, save_file, save_model

device = "cuda" if torch.cuda.is_available() else "cpu"


def main():
    torch.manual_seed(0)
    images = torch.randn(2, 3, 8, 8).to(device)
    patches = einops.rearrange(images, "b c (h p) (w q) -> b (h w) (p q c)", p=4, q=4)
    print(f"einops {einops.reduce(patches, 'b n d -> b', 'max').sum().item():.5f}")
    model = torch.nn.Sequential(Rearrange("b c h w -> b (c h w)"), torch.nn.Linear(192, 5))
    model.to(device)
    scores, labels = model(images), torch.tensor([1, 3]).to(device)
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "x.safetensors")
        save_file({"scores": scores.detach().contiguous()}, file)
        back = load_file(file, device=device)["scores"]
        assert back.is_cuda == torch.cuda.is_available()
        print(f"safetensors {back.sum().item():.5f}")
        save_model(model, file)
        load_model(model, file, device=device)
    metrics = torchmetrics.MetricCollection([
        torchmetrics.classification.MulticlassAccuracy(5, average="micro"),
        torchmetrics.classification.MulticlassF1Score(5),
        torchmetrics.classification.MulticlassAUROC(5)]).to(device)
    for _ in range(3):
        metrics.update(torch.randn(20, 5).softmax(1).to(device),
                       torch.randint(0, 5, (20,)).to(device))
    for name, value in metrics.compute().items():
        print(f"{name} {value.item():.5f}")
    distance = torchmetrics.MeanSquaredError().to(device)
    print(f"mse {distance(scores.softmax(1)[:, 0], labels.float()).item():.5f}")


if __name__ == "__main__":
    main()
