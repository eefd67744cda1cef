"""diffusers: a denoising step and a sampling loop of a model; diffusers_models.py NAME..."""

import sys

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DiTTransformer2DModel,
    UNet2DModel,
)

device = "cuda" if torch.cuda.is_available() else "cpu"


def unet():
    model = UNet2DModel(sample_size=16, in_channels=3, out_channels=3, layers_per_block=1,
                        block_out_channels=(32, 64), norm_num_groups=8,
                        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
                        up_block_types=("AttnUpBlock2D", "UpBlock2D"))
    return model, (3, 16, 16), lambda x, t: model(x, t).sample


def dit():
    model = DiTTransformer2DModel(num_attention_heads=4, attention_head_dim=16, in_channels=4,
                                  num_layers=2, sample_size=8, norm_num_groups=4,
                                  num_embeds_ada_norm=1000)
    model.eval()  # it drops class labels in training
    kinds = torch.tensor([1, 2])
    return model, (4, 8, 8), lambda x, t: model(
        x, t.expand(2), class_labels=kinds.to(device)).sample


def vae():
    model = AutoencoderKL(block_out_channels=(32, 64), norm_num_groups=8, latent_channels=4,
                          down_block_types=("DownEncoderBlock2D",) * 2,
                          up_block_types=("UpDecoderBlock2D",) * 2)
    return model, (3, 16, 16), lambda x, t: model(x).sample


def main(name):
    torch.manual_seed(0)
    model, shape, predict = {"unet": unet, "dit": dit, "vae": vae}[name]()
    model.to(device)
    noise_schedule = DDPMScheduler(num_train_timesteps=100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(3):
        clean, noise = torch.randn(2, *shape).to(device), torch.randn(2, *shape).to(device)
        steps = torch.randint(0, 100, (1,)).to(device)
        noisy = noise_schedule.add_noise(clean, noise, steps.expand(2))
        out = predict(noisy, steps)
        loss = torch.nn.functional.mse_loss(out[:, :shape[0]], noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        print(f"loss {loss.item():.5f}")
    sampling = DDIMScheduler(num_train_timesteps=100)
    sampling.set_timesteps(4, device=device)
    x = torch.randn(2, *shape).to(device)
    with torch.no_grad():
        for step in sampling.timesteps:
            x = sampling.step(predict(x, step)[:, :shape[0]], step, x).prev_sample
    print(f"sample {x.mean().item():.4f} {x.std().item():.4f}")


if __name__ == "__main__":
    for each in sys.argv[1:]:
        main(each)
