// Trains a small network on trn:0 with LibTorch: linking libtorch_trn is all it takes.
#include <torch/torch.h>

#include <cstdio>

int main() {
  torch::manual_seed(0);
  const torch::Device device("trn:0");

  // Two spirals: which one does a point lie on?
  const int64_t n = 400;
  const auto t = torch::linspace(0.25, 3, n);
  const auto arm = [&](double turn) {
    return torch::stack({t * torch::cos(2 * t + turn), t * torch::sin(2 * t + turn)}, 1);
  };
  const auto x = torch::cat({arm(0), arm(3.14159265)}).to(device);
  const auto y = torch::cat({torch::zeros(n), torch::ones(n)}).to(torch::kLong).to(device);

  torch::nn::Sequential net(torch::nn::Linear(2, 64), torch::nn::ReLU(), torch::nn::Linear(64, 64),
                            torch::nn::ReLU(), torch::nn::Linear(64, 2));
  net->to(device);
  torch::optim::Adam optimizer(net->parameters(), torch::optim::AdamOptions(5e-3));
  double accuracy = 0;
  for (int step = 0; step <= 300; ++step) {
    const auto logits = net->forward(x);
    const auto loss = torch::nn::functional::cross_entropy(logits, y);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    if (step % 50 == 0) {
      accuracy = logits.argmax(1).eq(y).to(torch::kFloat).mean().item<double>();
      std::printf("step %3d  loss %.4f  accuracy %.1f %%\n", step, loss.item<double>(),
                  100 * accuracy);
    }
  }
  std::printf("parameters on %s\n", net->parameters()[0].device().str().c_str());
  return accuracy > 0.95 ? 0 : 1;
}
