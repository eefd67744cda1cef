"""stable-baselines3: PPO and DQN on a small environment of our own, device="cuda"."""

import gymnasium
import numpy as np
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy

device = "cuda" if torch.cuda.is_available() else "cpu"


class Corridor(gymnasium.Env):
    """Walk right from 0 to 5; the observation is where one stands."""

    observation_space = gymnasium.spaces.Box(0, 5, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.steps = 0, 0
        return np.array([0], np.float32), {}

    def step(self, action):
        self.at, self.steps = max(self.at + (1 if action else -1), 0), self.steps + 1
        done = self.at >= 5
        return np.array([self.at], np.float32), float(done) - 0.1, done, self.steps > 30, {}


def main():
    for kind, steps, more in ((PPO, 2048, {"n_steps": 256}), (DQN, 2000, {"learning_starts": 100})):
        model = kind("MlpPolicy", Corridor(), seed=0, device=device, **more)
        assert next(model.policy.parameters()).is_cuda == torch.cuda.is_available()
        model.learn(steps)
        reward, _ = evaluate_policy(model, model.get_env(), n_eval_episodes=2, warn=False)
        print(f"reached {float(reward > 0.3)}")  # actions are drawn on the device


if __name__ == "__main__":
    main()
