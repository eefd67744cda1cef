"""transformers.Trainer: training with accumulation and a schedule, evaluation, a checkpoint."""

import tempfile

import torch
import transformers as tf


class Words(torch.utils.data.Dataset):
    def __init__(self):
        self.rows = torch.randint(3, 128, (48, 16), generator=torch.Generator().manual_seed(1))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return {"input_ids": self.rows[index], "labels": self.rows[index]}


def main():
    torch.manual_seed(0)
    model = tf.GPT2LMHeadModel(tf.GPT2Config(
        n_embd=64, n_layer=2, n_head=4, vocab_size=128, n_positions=64, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=2))
    with tempfile.TemporaryDirectory() as folder:
        trainer = tf.Trainer(
            model, tf.TrainingArguments(
                folder, max_steps=6, per_device_train_batch_size=4, logging_steps=1, seed=0,
                gradient_accumulation_steps=2, learning_rate=1e-3, warmup_steps=2, save_steps=3,
                report_to=[], disable_tqdm=True, optim="adamw_torch_fused"),
            train_dataset=Words(), eval_dataset=Words())
        assert trainer.args.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
        trainer.train()
        for entry in trainer.state.log_history:
            if "loss" in entry:
                print(f"loss {float(entry['loss']):.4f}")
        print(f"loss {trainer.evaluate()['eval_loss']:.4f}")
        trainer.train(resume_from_checkpoint=f"{folder}/checkpoint-3")
        print(f"loss {trainer.evaluate()['eval_loss']:.4f}")


if __name__ == "__main__":
    main()
