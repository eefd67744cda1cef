"""lightning: fit, validate and a checkpoint, on accelerator="gpu" where there is one."""

import tempfile
import warnings

import lightning as pl
import torch

warnings.simplefilter("ignore")


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(),
                                       torch.nn.Linear(32, 4))

    def loss_of(self, batch):
        x, y = batch
        assert x.is_cuda == torch.cuda.is_available()
        return torch.nn.functional.cross_entropy(self.net(x), y)

    def training_step(self, batch, index):
        loss = self.loss_of(batch)
        self.log("train_loss", loss)
        print(f"loss {loss.item():.5f}")
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", self.loss_of(batch))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def main():
    pl.seed_everything(0, verbose=False)
    data = torch.utils.data.TensorDataset(torch.randn(64, 16), torch.randint(0, 4, (64,)))
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            accelerator="gpu" if torch.cuda.is_available() else "cpu", devices=1, max_epochs=2,
            default_root_dir=folder, logger=False, enable_progress_bar=False,
            enable_model_summary=False, gradient_clip_val=1.0)
        trainer.fit(Net(), loader, torch.utils.data.DataLoader(data, batch_size=32))
        print(f"loss {trainer.callback_metrics['val_loss'].item():.5f}")
        again = Net.load_from_checkpoint(trainer.checkpoint_callback.best_model_path)
        print(f"loss {again.loss_of([t.to(again.device) for t in data[:]]).item():.5f}")


if __name__ == "__main__":
    main()
